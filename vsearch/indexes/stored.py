from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vsearch.indexes.collection import Collection
from vsearch.indexes.exhaustive import search_in_pieces
from vsearch.indexes.serials import Where, hull, where

BATCH_BYTES, BATCH_ROWS = 16 << 20, 10_000  # of one call that sends or fetches vectors

Hits = tuple[
    np.ndarray, np.ndarray
]  # scores, float32 (q, k), best first, and positions, int64 (q, k); unfilled: -1


@dataclass(frozen=True)
class Stored:
    """The rows of a collection that count, in the order of their positions. Never changed: others
    are made of it.

    Attributes:
        collection: where the rows are.
        serials: int64 (n,), rising: that of position i.
        dim: of the vectors.
    """

    collection: Collection
    serials: np.ndarray
    dim: int

    def __len__(self) -> int:
        return len(self.serials)

    def without(self, positions: np.ndarray) -> "Stored":
        """Return what is left without the rows at int64 (m,) positions."""
        return Stored(self.collection, np.delete(self.serials, positions), self.dim)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int64 (m,) positions, float32 (m, dim)."""
        wanted, step = self.serials[positions], batch(self.dim)
        fetched = [self.collection.fetch(wanted[i : i + step]) for i in range(0, len(wanted), step)]
        return np.concatenate([np.empty((0, self.dim), np.float32), *fetched])

    def missing(self) -> int:
        """Return how many of the rows the engine doesn't have."""
        return len(self) - min(
            len(self), self.collection.count(self._everything or hull(self.serials))
        )

    def search(self, asked: np.ndarray, k: int, allowed: np.ndarray | None) -> Hits:
        """Return the best hits for float32 (q, dim) queries among the rows that bool (n,) marks; k
        at most.

        The engine is told which serials count. Where that would be too long, it is asked for more
        hits, and if these don't suffice for part after part. Behind a filter, a query with places
        left is compared with each vector.
        """
        places = None if allowed is None else np.flatnonzero(allowed)
        serials = self.serials if places is None else self.serials[places]
        k = min(k, len(serials))
        if k == 0 or not len(asked):
            return np.zeros((len(asked), k), np.float32), np.zeros((len(asked), k), np.int64)
        if k > self.collection.most_hits:
            return search_in_pieces(
                self.vectors, np.arange(len(self)) if places is None else places, asked, k
            )
        condition = (
            self._everything if places is None else where(serials, self.collection.most_listed)
        )
        if condition is None:
            scores, positions = self._untold(asked, k, serials)
        else:
            scores, positions = self._found(asked, k, condition, serials)
        short = (positions < 0).any(axis=1)
        if places is not None and short.any():
            scores[short], positions[short] = search_in_pieces(
                self.vectors, places, asked[short], k
            )
        return scores, positions

    @cached_property
    def _everything(self) -> Where | None:
        return where(self.serials, self.collection.most_listed)

    def _untold(self, asked: np.ndarray, k: int, serials: np.ndarray) -> Hits:
        """Search among so many serials that the engine can't be told them all at once."""
        more = min(self.collection.most_hits, 2 * k * len(self) // len(serials) + 1)
        scores, positions = (one[:, :k] for one in self._found(asked, more, hull(serials), serials))
        short = np.flatnonzero((positions < 0).any(axis=1))
        if len(short):
            step = self.collection.most_listed
            pieces = [serials[start : start + step] for start in range(0, len(serials), step)]
            found = [
                self._found(asked[short], min(k, len(one)), Where(listed=one), one)
                for one in pieces
            ]
            scores[short], positions[short] = best(found, k)
        return scores, positions

    def _found(self, asked: np.ndarray, k: int, condition: Where, serials: np.ndarray) -> Hits:
        """Return what the engine finds under a condition, as positions; what isn't among the
        serials is dropped.
        """
        scores, found = self.collection.find(asked, k, condition)
        place = np.minimum(np.searchsorted(serials, found), len(serials) - 1)
        positions = np.where(serials[place] == found, np.searchsorted(self.serials, found), -1)
        return best([(np.clip(scores, -1, 1), positions)], k)


def batch(dim: int) -> int:
    """Return how many vectors to send or fetch at once."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * max(1, dim))))


def best(found: list[Hits], k: int) -> Hits:
    """Return the k best of several answers to the same queries; of equal scores the first position
    wins.
    """
    scores, positions = (np.concatenate(pair, axis=1) for pair in zip(*found, strict=True))
    order = np.lexsort((positions, np.where(positions < 0, np.inf, -scores)), axis=1)[:, :k]
    positions = np.take_along_axis(positions, order, axis=1)
    scores = np.where(positions < 0, -1, np.take_along_axis(scores, order, axis=1)).astype(
        np.float32
    )
    places = ((0, 0), (0, k - positions.shape[1]))
    return np.pad(scores, places, constant_values=-1), np.pad(positions, places, constant_values=-1)
