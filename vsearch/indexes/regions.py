import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from vsearch.class_paths import class_path, find
from vsearch.indexes.base import Index
from vsearch.indexes.exhaustive import Hits

FILE = "regions.json"


class RegionIndex(Index):
    """Any index, with several vectors an item: of the whole photo, and of parts of it.

    Positions are items. An item is found once, by the vector that is most similar to the query.
    The inner index holds each item's vectors one after the other. Embeddings are float32 (n,
    per_item, dim), the whole photo's first.

    Args:
        index: holds the vectors.
        per_item: how many an item has.
    """

    def __init__(self, index: Index, per_item: int) -> None:
        self.index = index
        self.per_item = per_item

    @property
    def spec(self) -> str:  # type: ignore[override]
        """The inner index, and how many vectors an item has."""
        return f"{self.index.spec}; {self.per_item} vectors an item"

    @property
    def exact(self) -> bool:
        """Whether the inner index finds the exact hits."""
        return self.index.exact

    def check(self, n: int, dim: int) -> None:
        """See `Index`; n: items."""
        self.index.check(n * self.per_item, dim)

    def bind(self, fingerprint: str) -> None:
        """See `Index`."""
        self.index.bind(fingerprint)

    def build(self, embeddings: np.ndarray) -> None:
        """See `Index`."""
        self.index.build(self._flat(embeddings))

    def add(self, embeddings: np.ndarray) -> None:
        """See `Index`."""
        self.index.add(self._flat(embeddings))

    def remove(self, positions: np.ndarray) -> None:
        """See `Index`."""
        self.index.remove(self._rows(positions))

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`; the best k * per_item vectors are those of at least k items."""
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        rows_allowed = None if allowed is None else np.repeat(allowed, self.per_item)
        of_rows, rows = self.index.search(queries, k * self.per_item, rows_allowed)
        scores = np.full((len(queries), k), -1, np.float32)
        items = np.full((len(queries), k), -1, np.int64)
        for number, found in enumerate(rows):
            own = found[found >= 0] // self.per_item
            first = np.sort(np.unique(own, return_index=True)[1])[:k]
            items[number, : len(first)] = own[first]
            scores[number, : len(first)] = of_rows[number, first]
        return scores, items

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the whole photos' vectors, float32 (m, dim). See `Index`."""
        return self.index.vectors(np.asarray(positions, dtype=np.int64) * self.per_item)

    def save(self, folder: Path) -> list[str]:
        """Write the inner index's files, and regions.json with its class."""
        names = self.index.save(folder)
        entry = {"class_path": class_path(type(self.index)), "per_item": self.per_item}
        (folder / FILE).write_text(json.dumps(entry))
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """See `Index`."""
        try:
            entry = json.loads((folder / FILE).read_text())
            kind = find(entry["class_path"], Index)
            per_item = int(entry["per_item"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{FILE} doesn't hold an index of regions: {error}") from error
        index = kind.open(folder)
        if per_item < 1 or len(index) % per_item:
            raise ValueError(f"{FILE}: {len(index)} vectors aren't {per_item} for each item.")
        return cls(index, per_item)

    def __len__(self) -> int:
        return len(self.index) // self.per_item

    def describe(self) -> dict[str, Any]:
        """Return the inner index's description, and how many vectors an item has."""
        return {**self.index.describe(), "spec": self.spec, "vectors_per_item": self.per_item}

    def _flat(self, embeddings: np.ndarray) -> np.ndarray:
        if embeddings.ndim != 3 or embeddings.shape[1] != self.per_item:
            raise ValueError(
                f"an item has {self.per_item} vectors here; the embeddings are {embeddings.shape}"
            )
        return embeddings.reshape(-1, embeddings.shape[2])

    def _rows(self, positions: np.ndarray) -> np.ndarray:
        """Return the inner index's positions of all vectors of the items at int (m,) positions."""
        first = np.asarray(positions, dtype=np.int64)[:, None] * self.per_item
        return (first + np.arange(self.per_item)).ravel()


def for_shape(index: Index, shape: tuple[int, ...]) -> Index:
    """Return an index that takes items' vectors of this shape, (dim,) or (per_item, dim)."""
    return index if len(shape) == 1 else RegionIndex(index, shape[0])


def without_regions(index: Index) -> Index:
    """Return the index that holds the vectors."""
    return index.index if isinstance(index, RegionIndex) else index


def all_vectors(index: Index, positions: np.ndarray) -> np.ndarray:
    """Return all vectors of the items at int (m,) positions: (m, dim) or (m, per_item, dim)."""
    if not isinstance(index, RegionIndex):
        return index.vectors(positions)
    found = index.index.vectors(index._rows(positions))
    return found.reshape(len(positions), index.per_item, found.shape[1])
