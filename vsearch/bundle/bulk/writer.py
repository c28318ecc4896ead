from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vsearch.bundle.bulk.plan import own_name
from vsearch.bundle.bulk.share import Share
from vsearch.data.embedding_parts import ERRORS, PARTS, Parts, table
from vsearch.data.io.atomic import MAKING, replace_file

ERROR_COLUMNS = ["id", "path", "error"]


class Writer:
    """Gathers embeddings, in whatever order they come, and writes each part as soon as it is
    complete.

    A part's errors are written before the part itself: a part that is there has all that belongs to
    it.

    Args:
        parts: the folder.
        items: the catalog.
        advance: is told how many photos have come, each time some do.
    """

    def __init__(self, parts: Parts, items: pd.DataFrame, advance: Callable[[int], object]) -> None:
        self.parts, self.items, self.advance = parts, items, advance
        self.pending: dict[int, list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]] = {}
        self.embedded = self.broken = 0

    def add(
        self, rows: np.ndarray, vectors: np.ndarray, hashes: Sequence[str], errors: Sequence[str]
    ) -> None:
        """Take what was made of catalog rows, int (n,), each once; see `photos.Photos` and
        `photos.embed`.
        """
        if not len(vectors):
            vectors = np.zeros((len(rows), self.parts.dim), dtype=np.float32)
        numbers = rows // self.parts.manifest["part_size"]
        for number in np.unique(numbers).tolist():
            own = numbers == number
            piece = (
                rows[own],
                vectors[own],
                np.asarray(hashes, dtype=object)[own],
                np.asarray(errors, object)[own],
            )
            pieces = self.pending.setdefault(number, [])
            pieces.append(piece)
            if sum(len(piece[0]) for piece in pieces) == len(self.parts.rows(number)):
                self._write(
                    number,
                    *(
                        np.concatenate(column)
                        for column in zip(*self.pending.pop(number), strict=True)
                    ),
                )
        self.advance(len(rows))

    def _write(
        self,
        number: int,
        rows: np.ndarray,
        vectors: np.ndarray,
        hashes: np.ndarray,
        errors: np.ndarray,
    ) -> None:
        order = np.argsort(rows)
        rows, vectors, hashes, errors = rows[order], vectors[order], hashes[order], errors[order]
        bad = errors != ""
        if bad.any():
            found = self.items[["id", "path"]].iloc[rows[bad]].assign(error=errors[bad].astype(str))
            _put(self.parts.file(number, ERRORS), pa.Table.from_pandas(found, preserve_index=False))
        good = self.items.iloc[rows[~bad]]
        _put(self.parts.file(number), table(good, vectors[~bad], hashes[~bad].tolist()))
        self.embedded, self.broken = self.embedded + len(good), self.broken + int(bad.sum())


def forget_errors(parts: Parts, share: Share) -> int:
    """Take away a share's parts that have broken photos, so that they are made anew; return how
    many.
    """
    numbers = share.of_all(
        [int(path.stem) for path in (parts.folder / ERRORS).glob("[0-9]*.parquet")]
    )
    for number in numbers:
        parts.file(number).unlink(
            missing_ok=True
        )  # first: a part without its errors would look whole
        parts.file(number, ERRORS).unlink()
    return len(numbers)


def list_errors(parts: Parts) -> Path | None:
    """Write the errors of all parts into errors.csv, and clear up after processes that were killed;
    None: no errors.
    """
    files = sorted((parts.folder / ERRORS).glob("[0-9]*.parquet"))
    path = parts.folder / "errors.csv"
    if not files:
        path.unlink(missing_ok=True)
        return None
    found = pd.concat([pd.read_parquet(file) for file in files])[ERROR_COLUMNS]
    replace_file(path, found.to_csv(index=False).encode(), own_name())
    return path


def clear(parts: Parts) -> None:
    """Take away what processes that were killed left unfinished; none may be at work."""
    for kind in ("", PARTS, ERRORS):
        for left in (parts.folder / kind).glob(f"{MAKING}*"):
            left.unlink(missing_ok=True)


def _put(path: Path, made: pa.Table) -> None:
    data = BytesIO()
    pq.write_table(made, data)
    replace_file(path, data.getvalue(), own_name())
