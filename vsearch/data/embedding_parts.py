import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vsearch.data.catalogs.base import CatalogError

MANIFEST, PARTS, ERRORS, SCHEMA = "manifest.json", "parts", "errors", 1


def schema(dim: int, hashed: bool = False) -> pa.Schema:
    """Return the columns of a file of embeddings: id, label, embedding, maybe content_hash."""
    columns = [
        ("id", pa.string()),
        ("label", pa.string()),
        ("embedding", pa.list_(pa.float32(), dim)),
    ]
    if hashed:
        columns.append(("content_hash", pa.string()))
    return pa.schema(columns)


def table(
    items: pd.DataFrame, vectors: np.ndarray, hashes: Sequence[str] | None = None
) -> pa.Table:
    """Return a table with this schema, of items (id, label) and embeddings, float32 (n, dim)."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    columns = [items["id"].tolist(), items["label"].tolist(), lists]
    if hashes is not None:
        columns.append([*hashes])
    return pa.table(columns, schema=schema(vectors.shape[1], hashes is not None))


def read(file: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of a file of embeddings, and the embeddings apart: float32 (n, dim).

    Raises:
        CatalogError: it isn't such a file, or the embeddings differ in length.
    """
    try:
        found = pq.read_table(file)
        lists = found["embedding"].combine_chunks()
        rows = found.drop_columns("embedding").to_pandas()
        rows = rows.assign(id=rows["id"].astype(str), label=rows["label"].astype(str))
        values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        lengths = {*lists.value_lengths().unique().to_pylist()}
        dim = lists.type.list_size if pa.types.is_fixed_size_list(lists.type) else lengths.pop()
        if lengths - {dim}:
            raise ValueError(
                f"embeddings of different lengths: {dim}, {', '.join(map(str, lengths))}"
            )
        return rows, values.reshape(len(rows), dim)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(
            f"{file}: not a file of embeddings from `predict` (id, label, embedding): {error}"
        ) from error


@dataclass(frozen=True)
class Parts:
    """A folder that `embed` writes: a manifest, and a file for each `part_size` catalog rows.

    A part has the photos that could be read; the errors file of the same number lists the others.

    Attributes:
        folder: where it is.
        manifest: `model` (see `generations.manifest.model_of`), `network`, `catalog`, `part_size`.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.manifest["model"]["dim"])

    def __len__(self) -> int:
        return -(-self.manifest["catalog"]["items"] // self.manifest["part_size"])

    def file(self, number: int, kind: str = PARTS) -> Path:
        """Return the path of a part, or of its errors."""
        return self.folder / kind / f"{number:06d}.parquet"

    def rows(self, number: int) -> range:
        """Return the catalog rows that a part covers."""
        size = self.manifest["part_size"]
        return range(number * size, min((number + 1) * size, self.manifest["catalog"]["items"]))

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are still missing."""
        there = {path.name for path in (self.folder / PARTS).glob("*.parquet")}
        return [number for number in range(len(self)) if self.file(number).name not in there]

    def whole(self) -> "Parts":
        """Return itself if no part is missing; else raise a CatalogError."""
        if missing := self.missing():
            raise CatalogError(
                f"{self.folder}: {len(missing):,} of {len(self):,} parts are missing, e.g. "
                f"{self.file(missing[0]).name}. Run the same `embed` command again: it continues "
                "with them."
            )
        return self

    @cached_property
    def starts(self) -> np.ndarray:
        """Return int (len + 1,): how many embeddings come before each part, then their total."""
        counts = [pq.read_metadata(self.file(number)).num_rows for number in range(len(self))]
        return np.cumsum([0, *counts])

    def each(self) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Yield what `read` returns of each part, in order."""
        return (read(self.file(number)) for number in range(len(self)))

    def ids(self) -> pd.DataFrame:
        """Return id and label of all embeddings, in order, without reading the embeddings."""
        files = [
            pq.read_table(self.file(number), columns=["id", "label"]) for number in range(len(self))
        ]
        found: pd.DataFrame = pa.concat_tables(files).to_pandas()
        return found

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the embeddings at int (m,) positions, float32 (m, dim)."""
        made = np.empty((len(positions), self.dim), dtype=np.float32)
        numbers = np.searchsorted(self.starts, positions, side="right") - 1
        for number in np.unique(numbers):
            own = numbers == number
            made[own] = read(self.file(int(number)))[1][positions[own] - self.starts[number]]
        return made


def open_parts(folder: Path) -> Parts:
    """Open a folder that `embed` writes; raise a CatalogError if it isn't one."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA:
            raise ValueError(f"schema {manifest['schema']}; this vsearch reads schema {SCHEMA}")
        return Parts(
            folder, {name: manifest[name] for name in ("model", "network", "catalog", "part_size")}
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(f"{path} isn't a manifest from `embed`: {error}.") from error
