from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from vsearch.indexes.stores.serials import Where

FORMAT = 1  # of a collection's rows and of a saved index's files


@dataclass(frozen=True)
class Owner:
    """The bundle and the model that a collection belongs to; kept beside its rows."""

    fingerprint: str
    owner: str  # drawn at random when a bundle's collection is made
    dim: int

    def meta(self) -> dict[str, str]:
        """Return what the vector store keeps."""
        return {"format": str(FORMAT), **{name: str(value) for name, value in asdict(self).items()}}

    def check(self, meta: dict[str, str] | None, url: str) -> None:
        """Compare with what the collection at a URL keeps (None: there is none).

        Raises:
            ValueError: says what differs, with both fingerprints.
        """
        if meta is None:
            raise ValueError(
                f"{url} is not there (any more). Is it the right server, database and name?"
            )
        if meta.get("format") != str(FORMAT):
            raise ValueError(f"{url} was not made by this version of vsearch. Name another one.")
        if meta["fingerprint"] != self.fingerprint:
            raise ValueError(another_model(url, meta["fingerprint"], self.fingerprint))
        if meta["owner"] != self.owner:
            raise ValueError(taken(url))
        if meta["dim"] != str(self.dim):
            raise ValueError(f"{url} holds vectors of {meta['dim']} dimensions, not of {self.dim}.")


def another_model(url: str, theirs: str, ours: str) -> str:
    """Return what is wrong with another model's collection."""
    return f"{url} holds vectors of another model: fingerprint {theirs}, this one's is {ours}."


def taken(url: str) -> str:
    """Return what is wrong with another bundle's collection."""
    return (
        f"{url} is there already, for another bundle or an earlier copy. Name another one, or "
        "delete that one there."
    )


class Collection(ABC):
    """A collection or table in a vector store: what VectorStoreIndex asks of it.

    A row has a serial, int64, and a vector, float32 (dim,), of unit length. A call that the store
    can't answer now raises IndexUnavailable; what is wrong with the collection itself, ValueError.
    """

    url: str  # without secrets
    secret: bool  # whether the URL that was given had a user, a password or a token
    most_listed: int  # serials that a condition may list or hide
    most_hits: int  # that a search may ask for

    @abstractmethod
    def meta(self) -> dict[str, str] | None:
        """Return what `create` was given; None: no such collection; empty: not made by vsearch."""

    @abstractmethod
    def create(self, dim: int, meta: Mapping[str, str]) -> None:
        """Make the collection, empty."""

    @abstractmethod
    def upsert(self, serials: np.ndarray, vectors: np.ndarray) -> None:
        """Write rows, int64 (m,) and float32 (m, dim), durably; over those of equal serials."""

    @abstractmethod
    def settle(self, first: int, last: int) -> None:
        """Have what was written, serials `first` to `last`, indexed and visible to every search."""

    @abstractmethod
    def find(self, queries: np.ndarray, k: int, where: Where) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, float32 (q, k), best first) and serials (int64 (q, k)).

        Both are -1 where a place is unfilled.
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

    def in_order(self, found: Mapping[int, np.ndarray], serials: np.ndarray) -> np.ndarray:
        """Return the vectors that `fetch` found, float32 (m, dim)."""
        lost = [serial for serial in serials.tolist() if serial not in found]
        if lost:
            raise ValueError(
                f"{self.url} lacks {len(lost):,} rows of this index, e.g. that of serial {lost[0]}"
            )
        vectors = [found[serial] for serial in serials.tolist()]
        return np.array(vectors, dtype=np.float32).reshape(len(serials), -1)
