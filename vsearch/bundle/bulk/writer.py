from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from vsearch.plain_text import in_spreadsheet

ERROR_COLUMNS = ["id", "path", "error"]


@dataclass(frozen=True)
class Piece:
    """The results for some rows, int (n,), of a catalog: `vectors` float32 (n, dim), and text (n,).

    `errors` are empty for readable photos.
    """

    rows: np.ndarray
    vectors: np.ndarray
    hashes: np.ndarray
    errors: np.ndarray

    def of(self, chosen: np.ndarray) -> "Piece":
        """Return the rows selected by `chosen`, bool or int (m,)."""
        return Piece(
            self.rows[chosen], self.vectors[chosen], self.hashes[chosen], self.errors[chosen]
        )

    @classmethod
    def joined(cls, pieces: list["Piece"]) -> "Piece":
        """Return several as one, sorted by row."""
        columns = ("rows", "vectors", "hashes", "errors")
        whole = cls(
            *(np.concatenate([getattr(piece, name) for piece in pieces]) for name in columns)
        )
        return whole.of(np.argsort(whole.rows))


class Writer:
    """Collects embeddings in any order, and writes each part once it is complete.

    A part's errors are written before the part itself, so an existing part is complete. `advance`
    is called with the number of new photos.
    """

    def __init__(self, parts: Parts, items: pd.DataFrame, advance: Callable[[int], object]) -> None:
        self.parts = parts
        self.items = items
        self.advance = advance
        self.pending: dict[int, list[Piece]] = {}
        self.embedded = 0
        self.broken = 0

    def add(
        self, rows: np.ndarray, vectors: np.ndarray, hashes: Sequence[str], errors: Sequence[str]
    ) -> None:
        """Add the results for catalog rows, int (n,), each row once; see `photos.Photos`."""
        came = Piece(rows, vectors, np.asarray(hashes, object), np.asarray(errors, object))
        numbers = rows // self.parts.manifest["part_size"]
        for number in np.unique(numbers).tolist():
            pieces = self.pending.setdefault(number, [])
            pieces.append(came.of(numbers == number))
            if sum(len(piece.rows) for piece in pieces) == len(self.parts.rows(number)):
                self._write(number, Piece.joined(self.pending.pop(number)))
        self.advance(len(rows))

    def _write(self, number: int, piece: Piece) -> None:
        bad = piece.errors != ""
        if bad.any():
            broken = self.items[["id", "path"]].iloc[piece.rows[bad]]
            found = broken.assign(error=piece.errors[bad].astype(str))
            _put(self.parts.file(number, ERRORS), pa.Table.from_pandas(found, preserve_index=False))
        good = self.items.iloc[piece.rows[~bad]]
        made = table(good, piece.vectors[~bad], piece.hashes[~bad].tolist())
        _put(self.parts.file(number), made)
        self.embedded += len(good)
        self.broken += int(bad.sum())


def forget_errors(parts: Parts, share: Share) -> int:
    """Delete a share's parts that have broken photos, to make them again; return how many."""
    files = (parts.folder / ERRORS).glob("[0-9]*.parquet")
    numbers = share.of_all([int(path.stem) for path in files])
    for number in numbers:
        # the part first: without its errors it would look complete
        parts.file(number).unlink(missing_ok=True)
        parts.file(number, ERRORS).unlink()
    return len(numbers)


def list_errors(parts: Parts) -> Path | None:
    """Write the errors of all parts to errors.csv; return its path, or None without errors."""
    files = sorted((parts.folder / ERRORS).glob("[0-9]*.parquet"))
    path = parts.folder / "errors.csv"
    if not files:
        path.unlink(missing_ok=True)
        return None
    found = pd.concat([pd.read_parquet(file) for file in files])[ERROR_COLUMNS]
    replace_file(path, found.map(in_spreadsheet).to_csv(index=False).encode(), own_name())
    return path


def clear(parts: Parts) -> None:
    """Delete what killed processes left unfinished; no process may be running."""
    for kind in ("", PARTS, ERRORS):
        for left in (parts.folder / kind).glob(f"{MAKING}*"):
            left.unlink(missing_ok=True)


def _put(path: Path, made: pa.Table) -> None:
    data = BytesIO()
    pq.write_table(made, data)
    replace_file(path, data.getvalue(), own_name())
