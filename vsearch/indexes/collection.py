from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vsearch.indexes.serials import Where


class Collection(ABC):
    """A collection or table of vectors in an engine: what RemoteIndex asks of it, and no more.

    A row has a serial, int64, and a vector, float32 (dim,), of unit length. A call that the engine
    can't answer now raises IndexUnavailable; what is wrong with the collection itself, ValueError.

    Attributes:
        url: where it is, without secrets.
        secret: whether the URL that was given had a user, a password or a token.
        most_listed: serials that a condition may list or hide.
        most_hits: hits that a search may ask for.
    """

    url: str
    secret: bool
    most_listed: int
    most_hits: int

    @abstractmethod
    def meta(self) -> dict[str, str] | None:
        """Return what `create` was told; None: there is no such collection. It may be empty:
        another's collection.
        """

    @abstractmethod
    def create(self, dim: int, meta: Mapping[str, str]) -> None:
        """Make the collection, empty."""

    @abstractmethod
    def upsert(self, serials: np.ndarray, vectors: np.ndarray) -> None:
        """Write rows, int64 (m,) and float32 (m, dim), over those of the same serials; then the
        engine keeps them.
        """

    @abstractmethod
    def settle(self, first: int, last: int) -> None:
        """Have what was written, serials `first` to `last`, indexed and visible to every search."""

    @abstractmethod
    def find(self, queries: np.ndarray, k: int, where: Where) -> tuple[np.ndarray, np.ndarray]:
        """Return the best rows: scores (cosines, float32 (q, k), best first), serials (int64 (q,
        k)); unfilled: -1.
        """

    @abstractmethod
    def fetch(self, serials: np.ndarray) -> np.ndarray:
        """Return the vectors, float32 (m, dim), of int64 (m,) serials.

        Raises:
            ValueError: a row is missing.
        """

    @abstractmethod
    def count(self, where: Where) -> int:
        """Return how many rows fulfil a condition."""

    @abstractmethod
    def serials(self) -> np.ndarray:
        """Return all rows' serials, int64 (n,), rising."""

    @abstractmethod
    def delete(self, serials: np.ndarray) -> None:
        """Delete the rows of int64 (m,) serials; unknown ones are no error."""

    @abstractmethod
    def drop(self) -> None:
        """Delete the collection."""


def known_names(
    setting: str, given: Mapping[str, Any], known: Sequence[str], kind: str
) -> dict[str, Any]:
    """Return settings as given, once all are known.

    Raises:
        ValueError: one isn't; says which there are.
    """
    if unknown := sorted(set(given) - set(known)):
        there = ", ".join(known) or "none"
        raise ValueError(
            f"{setting}: {kind} has no {', '.join(map(repr, unknown))}; there are: {there}"
        )
    return dict(given)
