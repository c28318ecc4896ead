from abc import ABC, abstractmethod
from typing import Self

import numpy as np


class Index(ABC):
    """Nearest-neighbour search over unit vectors. Plugin base: one subclass, one file.

    Attributes:
        spec: what the index is, in the words of its library, as reports and manifests show it.
    """

    spec: str

    @abstractmethod
    def build(self, embeddings: np.ndarray) -> None:
        """Index float32 (n, dim) unit vectors; position i of the index is row i. Replaces what was there."""

    @abstractmethod
    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, float32 (q, k), best first) and positions (int64 (q, k)) for unit vectors (q, dim).

        `k` above the number of vectors is lowered to it. A place that the index can't fill has position -1 and
        score -1.
        """

    @abstractmethod
    def to_bytes(self) -> bytes:
        """Return the index as its library writes it to a file."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Open what `to_bytes` returned.

        Raises:
            ValueError: the bytes are no index of this kind.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of vectors."""
