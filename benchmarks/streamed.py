from pathlib import Path
from typing import Self

import numpy as np
from faiss import ResultHeap, knn

from vsearch.indexes.base import Index

FILE = "vectors.npy"
CHUNK_BYTES = 256 << 20  # of float32 vectors held at once


class StreamedIndex(Index):
    """Exact search that reads its vectors from disk, piece by piece, for galleries larger than
    memory.

    FAISS's ResultHeap merges the k best of each piece. A search reads the whole file once, however
    many queries it has: good for measuring with all queries at once, not for serving one. Vectors
    are kept in float16, which moves a coordinate by less than 0.05 %, and are normalised again when
    they are read.
    """

    spec = "exact, streamed from float16"

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), dtype=np.float16)

    def build(self, embeddings: np.ndarray) -> None:
        """Index unit vectors (n, dim), float32, or float16 such as a memory-mapped file, which is
        then left there.
        """
        self._rows = embeddings if embeddings.dtype == np.float16 else embeddings.astype(np.float16)

    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors."""
        self._rows = np.concatenate([self._rows, embeddings.astype(np.float16)])

    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the others close up."""
        self._rows = np.delete(self._rows, positions, axis=0)

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, best first) and positions, each (q, k), in one pass over the
        vectors.
        """
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        if k == 0:
            return np.empty((len(asked), 0), dtype=np.float32), np.empty(
                (len(asked), 0), dtype=np.int64
            )
        best = ResultHeap(len(asked), k)
        size = max(1, CHUNK_BYTES // (4 * self._rows.shape[1]))
        for start in range(0, len(self), size):
            positions = np.arange(start, min(start + size, len(self)))
            if allowed is not None:
                positions = positions[allowed[positions]]
            if len(positions):
                distances, found = knn(asked, self.vectors(positions), min(k, len(positions)))
                best.add_result(distances, positions[found])
        best.finalize()
        return np.clip(1 - best.D / 2, -1, 1), best.I

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions, float32 (m, dim)."""
        rows = self._rows[positions].astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def save(self, folder: Path) -> list[str]:
        """Write vectors.npy: float16 (n, dim)."""
        np.save(folder / FILE, self._rows)
        return [FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote, without reading it."""
        opened = cls()
        opened._rows = np.load(folder / FILE, mmap_mode="r")
        if opened._rows.dtype != np.float16 or opened._rows.ndim != 2:
            raise ValueError(f"{FILE}: not float16 (n, dim)")
        return opened

    def __len__(self) -> int:
        return len(self._rows)
