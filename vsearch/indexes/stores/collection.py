from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from vsearch.indexes.stores.serials import Where

# Serials and scores (cosines) of each query's hits
Found = list[list[tuple[int, float]]]


class Collection(ABC):
    """A collection or table in a vector store, as VectorStoreIndex uses it.

    A row has a serial, int64, and a vector, float32 (dim,), of unit length. A call raises
    IndexUnavailable if the store can't answer now, ValueError if the collection itself is wrong.
    """

    url: str  # without secrets
    secret: bool  # whether the given URL had a user, a password or a token
    most_listed: int  # serials that a condition may list or hide
    most_hits: int  # per search

    @abstractmethod
    def meta(self) -> dict[str, str] | None:
        """Return `create`'s `meta`; None: no such collection; empty: not made by vsearch."""

    @abstractmethod
    def create(self, dim: int, meta: Mapping[str, str]) -> None:
        """Create an empty collection."""

    @abstractmethod
    def upsert(self, serials: np.ndarray, vectors: np.ndarray) -> None:
        """Write rows, int64 (m,) and float32 (m, dim), durably, replacing equal serials."""

    @abstractmethod
    def settle(self, first: int, last: int) -> None:
        """Make written rows, serials `first` to `last`, indexed and visible to every search."""

    @abstractmethod
    def find(self, queries: np.ndarray, k: int, where: Where) -> Found:
        """Return at most k hits of each of float32 (q, dim) queries, best first."""

    @abstractmethod
    def fetch(self, serials: np.ndarray) -> Mapping[int, np.ndarray]:
        """Return the vectors, float32 (dim,), of those of int64 (m,) serials that exist."""

    @abstractmethod
    def count(self, where: Where) -> int:
        """Return how many rows meet a condition."""

    @abstractmethod
    def serials(self) -> np.ndarray:
        """Return all rows' rising serials, int64 (n,)."""

    @abstractmethod
    def delete(self, serials: np.ndarray) -> None:
        """Delete the rows of int64 (m,) serials; ignore unknown ones."""
