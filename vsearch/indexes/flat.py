from typing import Self

import faiss
import numpy as np

from vsearch.indexes.base import Index


class FlatIndex(Index):
    """Exact search: FAISS `IndexFlatL2` over unit vectors, with scores as cosines.

    FAISS returns squared L2 distances d2; for unit vectors |a - b|^2 = |a|^2 + |b|^2 - 2 a.b = 2 - 2 cos, hence
    cos = 1 - d2 / 2.
    """

    spec = "Flat"

    def __init__(self) -> None:
        self._index: faiss.Index | None = None

    def build(self, embeddings: np.ndarray) -> None:
        """Index float32 (n, dim) unit vectors; position i of the index is row i."""
        vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        if len(vectors) == 0 or not np.allclose(norms, 1, atol=1e-3):
            raise ValueError(f"FlatIndex needs unit vectors; got {len(vectors)} with norms {norms[:3]} ...")
        self._index = faiss.IndexFlatL2(vectors.shape[1])
        self._index.add(vectors)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, best first) and positions, each (q, k)."""
        index = self._built()
        distances_l2sq, positions = index.search(np.ascontiguousarray(queries, dtype=np.float32), min(k, index.ntotal))
        return np.clip(1 - distances_l2sq / 2, -1, 1), positions

    def to_bytes(self) -> bytes:
        """Return the index in FAISS's file format."""
        return faiss.serialize_index(self._built()).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Open what `to_bytes` returned."""
        opened = cls()
        try:
            opened._index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
        except RuntimeError as error:
            raise ValueError(f"not a FAISS index: {error}") from error
        return opened

    def __len__(self) -> int:
        return self._index.ntotal if self._index is not None else 0

    def _built(self) -> faiss.Index:
        if self._index is None:
            raise ValueError("the index is empty: build it first")
        return self._index
