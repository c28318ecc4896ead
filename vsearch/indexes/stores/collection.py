from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from vsearch.indexes.stores.serials import Where

# Serials and scores (cosines) of each query's hits
Found = list[list[tuple[int, float]]]

FORMAT = 1  # of a collection's rows and of a saved index's files


def check_meta(found: Mapping[str, str] | None, own: Mapping[str, str], url: str) -> None:
    """Compare the values beside a collection's rows (None: no collection) with an index's own.

    Raises:
        ValueError: says what differs, with both fingerprints.
    """
    if found is None:
        raise ValueError(f"{url} doesn't exist, or no longer. Are server, database and name right?")
    if found.get("format") != own["format"]:
        raise ValueError(f"{url} was not made by this version of vsearch. Name another one.")
    if found["fingerprint"] != own["fingerprint"]:
        raise ValueError(another_model(url, found["fingerprint"], own["fingerprint"]))
    if found["owner"] != own["owner"]:
        raise ValueError(taken(url))
    if found["dim"] != own["dim"]:
        raise ValueError(f"{url} holds vectors of {found['dim']} dimensions, not of {own['dim']}.")


def another_model(url: str, theirs: str, ours: str) -> str:
    """Return the message about another model's collection."""
    return f"{url} holds vectors of another model: fingerprint {theirs}, this one's is {ours}."


def taken(url: str) -> str:
    """Return the message about another bundle's collection."""
    return (
        f"{url} exists already, for another bundle or an earlier copy. Name another one, or "
        "delete this one in the store."
    )


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
