from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vsearch.indexes.exhaustive import Hits, best, search_in_pieces
from vsearch.indexes.stores.collection import Collection
from vsearch.indexes.stores.serials import Where, where

# Of one call that sends or fetches vectors
BATCH_BYTES = 16 << 20
BATCH_ROWS = 10_000


@dataclass(frozen=True)
class StoredRows:
    """The rows of a collection that count, in the order of their positions."""

    collection: Collection
    serials: np.ndarray  # int64 (n,), rising
    dim: int

    def __len__(self) -> int:
        return len(self.serials)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int64 (m,) positions, float32 (m, dim).

        Raises:
            ValueError: a row is missing.
        """
        wanted = self.serials[positions]
        vectors = np.empty((len(wanted), self.dim), np.float32)
        step = batch_rows(self.dim)
        for start in range(0, len(wanted), step):
            batch = wanted[start : start + step]
            found = self.collection.fetch(batch)
            lost = [serial for serial in batch.tolist() if serial not in found]
            if lost:
                raise ValueError(f"{self.collection.url} lacks {len(lost):,} rows of this index")
            vectors[start : start + step] = [found[serial] for serial in batch.tolist()]
        return vectors

    def check(self) -> None:
        """Count the rows.

        Raises:
            ValueError: some are missing.
        """
        if not len(self):
            return
        missing = len(self) - self.collection.count(self._everything)
        if missing > 0:
            raise ValueError(
                f"{self.collection.url} lacks {missing:,} of this index's {len(self):,} rows. "
                "Restore them from the store's backup, or try `index rollback`."
            )

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> Hits:
        """Return the k best hits of float32 (q, dim) queries among rows; `allowed`: bool (n,).

        The request says which serials count. If it can't, it asks for more hits, and if these don't
        suffice, it asks piece by piece. With `allowed`, unfilled places are filled by comparing
        each vector.
        """
        places = np.arange(len(self)) if allowed is None else np.flatnonzero(allowed)
        serials = self.serials[places]
        k = min(k, len(serials))
        if k == 0 or not len(queries):
            shape = (len(queries), k)
            return np.zeros(shape, np.float32), np.zeros(shape, np.int64)
        if k > self.collection.most_hits:
            return search_in_pieces(self.vectors, places, queries, k)

        condition = self._everything
        if allowed is not None:
            condition = where(serials, self.collection.most_listed)
        search = self._search_loosely if condition.loose else self._found
        scores, positions = search(queries, k, condition, serials)

        short = (positions < 0).any(axis=1)
        if allowed is not None and short.any():
            filled = search_in_pieces(self.vectors, places, queries[short], k)
            scores[short], positions[short] = filled
        return scores, positions

    @cached_property
    def _everything(self) -> Where:
        return where(self.serials, self.collection.most_listed)

    def _search_loosely(
        self, queries: np.ndarray, k: int, condition: Where, serials: np.ndarray
    ) -> Hits:
        """Do what `_found` does, where many that meet the condition don't count."""
        more = min(self.collection.most_hits, 2 * k * len(self) // len(serials) + 1)
        scores, positions = best([self._found(queries, more, condition, serials)], k)

        short = (positions < 0).any(axis=1)
        if short.any():
            found = []
            step = self.collection.most_listed
            for start in range(0, len(serials), step):
                piece = serials[start : start + step]
                found.append(self._found(queries[short], k, Where(listed=piece), piece))
            scores[short], positions[short] = best(found, k)
        return scores, positions

    def _found(self, queries: np.ndarray, k: int, condition: Where, serials: np.ndarray) -> Hits:
        """Return the hits among the rows that meet a condition and are in `serials`."""
        scores = np.full((len(queries), k), -1, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        for row, hits in enumerate(self.collection.find(queries, k, condition)):
            found[row, : len(hits)] = [serial for serial, _ in hits]
            scores[row, : len(hits)] = [score for _, score in hits]

        place = np.minimum(np.searchsorted(serials, found), len(serials) - 1)
        positions = np.where(serials[place] == found, np.searchsorted(self.serials, found), -1)
        return best([(np.clip(scores, -1, 1), positions)], k)


def batch_rows(dim: int) -> int:
    """Return how many vectors to send or fetch at once."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * max(1, dim))))
