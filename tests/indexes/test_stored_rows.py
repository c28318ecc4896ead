"""The logic between positions and serials, against a naive collection with tight limits."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from indexes.hits import assert_same_hits, best_of_all
from indexes.index_makers import unit

from vsearch.indexes.stores.collection import Collection
from vsearch.indexes.stores.rows import StoredRows
from vsearch.indexes.stores.serials import Where


class Naive(Collection):
    """Rows in a dictionary. `blind`: serials that a search never finds, as one may."""

    url, secret, most_listed, most_hits = "naive://", False, 5, 20

    def __init__(self, rows: Mapping[int, np.ndarray], blind: frozenset[int] = frozenset()) -> None:
        self.rows, self.blind, self.asked = rows, blind, list[Where]()

    def find(self, queries, k, where):
        assert k <= self.most_hits
        listed = 0 if where.listed is None else len(where.listed)
        assert max(listed, len(where.hidden)) <= self.most_listed
        self.asked.append(where)
        serials = np.array(
            [one for one in self.rows if self._counts(one, where) and one not in self.blind] or [-1]
        )
        scores = (
            queries
            @ np.array([self.rows.get(one, np.zeros(queries.shape[1])) for one in serials]).T
        )
        order = np.argsort(-scores, axis=1)[:, :k]
        return [
            list(zip(serials[best].tolist(), row[best].tolist(), strict=True))
            for row, best in zip(scores, order, strict=True)
        ]

    def _counts(self, serial: int, where: Where) -> bool:
        if where.listed is not None:
            return serial in where.listed
        return any(a <= serial <= b for a, b in where.ranges) and serial not in where.hidden

    def fetch(self, serials):
        return {one: self.rows[one] for one in serials.tolist() if one in self.rows}

    def count(self, where):
        return sum(self._counts(one, where) for one in self.rows)

    def meta(self): ...
    def create(self, dim, meta): ...
    def upsert(self, serials, vectors): ...
    def settle(self, first, last): ...
    def serials(self): ...
    def delete(self, serials): ...


def stored(seed: int, blind: int = 0) -> tuple[StoredRows, np.ndarray]:
    """Blocks of rows, of which other generations need some, and the vectors of those that count."""
    rng = np.random.default_rng(seed)
    every = np.concatenate(
        [start + np.arange(rng.integers(1, 80)) for start in (7, 10**6, 10**9, 10**15)]
    )
    vectors = unit(len(every), 8, seed)
    counts = np.flatnonzero(rng.random(len(every)) < rng.choice([0.3, 0.9, 1]))
    missed = frozenset(every[rng.permutation(len(every))[:blind]].tolist())
    collection = Naive(dict(zip(every.tolist(), vectors, strict=True)), missed)
    return StoredRows(collection, every[counts], 8), vectors[counts]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 1, None])
@pytest.mark.parametrize("k", [1, 7, 30])
def test_whatever_is_allowed_the_best_of_it_are_found(seed, share, k):
    index, vectors = stored(seed)
    queries = unit(4, 8, seed + 100)
    allowed = None if share is None else np.random.default_rng(seed).random(len(index)) < share
    assert_same_hits(index.search(queries, k, allowed), best_of_all(queries, vectors, k, allowed))


@pytest.mark.parametrize("seed", range(12))
def test_behind_a_filter_what_an_approximate_index_misses_is_compared_after_all(seed):
    index, vectors = stored(seed, blind=60)
    queries, allowed = unit(4, 8, seed + 100), np.arange(len(index)) % 3 == 0
    n = int(allowed.sum())
    assert_same_hits(index.search(queries, n, allowed), best_of_all(queries, vectors, n, allowed))


def test_without_a_filter_what_an_approximate_index_misses_stays_empty():
    index, _ = stored(0)
    index.collection.blind = frozenset(index.serials[3:].tolist())
    scores, positions = index.search(unit(2, 8, 1), 5, None)
    assert sorted(positions[0, :3]) == [0, 1, 2]
    assert positions[0, 3:].tolist() == scores[0, 3:].tolist() == [-1, -1]


def whole() -> StoredRows:
    """A block whose rows all count."""
    serials = 10**9 + np.arange(50)
    return StoredRows(Naive(dict(zip(serials.tolist(), unit(50, 8), strict=True))), serials, 8)


def test_the_condition_without_a_filter_is_made_once_and_no_query_asks_nothing():
    index = whole()
    for _ in range(3):
        index.search(unit(2, 8, 1), 5, None)
    first, *others = index.collection.asked
    assert [one is first for one in others] == [True, True]
    assert index.search(np.zeros((0, 8), np.float32), 5, None)[1].shape == (0, 5)
    assert len(index.collection.asked) == 3


def test_rows_that_the_store_lost_are_counted():
    index = whole()
    index.check()
    for lost in index.serials[3:7].tolist():
        del index.collection.rows[lost]
    with pytest.raises(ValueError, match="lacks 4 of this index's 50 rows"):
        index.check()
    replace(index, serials=np.delete(index.serials, np.arange(3, 7))).check()
