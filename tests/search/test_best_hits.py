import numpy as np
import pytest

from vsearch.indexes.faiss import FaissIndex
from vsearch.search.best_hits import best

N = 300


def unit(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def built(factory: str = "Flat") -> FaissIndex:
    index = FaissIndex(factory)
    index.build(unit(N))
    return index


def by_loop(query, k, allowed=None, min_score=None, groups=None) -> list[int]:
    scores = {i: float(vector @ query) for i, vector in enumerate(unit(N))}
    kept, seen = [], set()
    for i in sorted(scores, key=lambda i: -scores[i]):
        if allowed is not None and not allowed[i]:
            continue
        if min_score is not None and scores[i] < min_score:
            continue
        if groups is not None and groups[i] >= 0:
            if groups[i] in seen:
                continue
            seen.add(groups[i])
        kept.append(i)
    return kept[:k]


@pytest.mark.parametrize("k", [1, 7, 100, N, 1000, None])
@pytest.mark.parametrize("min_score", [None, -1, 0.0, 0.6, 0.99])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("of_groups", [0, 1, 5, 120])
def test_hits_are_those_of_a_loop(k, min_score, filtered, of_groups):
    rng = np.random.default_rng(1)
    allowed = rng.random(N) < 0.4 if filtered else None
    groups = rng.integers(-1, of_groups, N) if of_groups else None
    queries = unit(6, seed=2)
    for query, (scores, positions) in zip(
        queries, best(built(), queries, k, allowed, min_score, groups), strict=True
    ):
        assert positions.tolist() == by_loop(query, k, allowed, min_score, groups)
        assert scores == pytest.approx(unit(N)[positions] @ query, abs=1e-6)


@pytest.mark.parametrize("factory", ["HNSW8", "IVF8,Flat", "IVF8,PQ4x4fs", "PQ4x4fs", "SQ8"])
def test_kinds_that_leave_places_empty_are_filled_all_the_same(factory):
    groups = np.random.default_rng(1).integers(0, 40, N)
    for _, positions in best(built(factory), unit(5, seed=2), 40, groups=groups):
        assert sorted(groups[positions]) == [*range(40)]
    for scores, positions in best(built(factory), unit(5, seed=2), None):
        assert sorted(positions) == [*range(N)]
        assert (np.diff(scores) <= 1e-6).all()


def test_the_best_of_each_group_by_hand():
    index = FaissIndex()
    angles = np.array([0, 10, 20, 30, 40, 50]) * np.pi / 180
    index.build(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    query, groups = np.array([[1, 0]], np.float32), np.array([7, 7, -1, 7, -1, 2])
    assert best(index, query, 3, groups=groups)[0][1].tolist() == [0, 2, 4]
    assert best(index, query, 10, groups=groups)[0][1].tolist() == [0, 2, 4, 5]
    assert best(index, query, None, min_score=0.9)[0][1].tolist() == [0, 1, 2]
    assert best(index, query, 2, min_score=0.9)[0][1].tolist() == [0, 1]
    assert best(index, query, None, min_score=0.9, groups=groups)[0][1].tolist() == [0, 2]


@pytest.mark.parametrize("k", [3, None])
def test_nothing_is_allowed(k):
    for scores, positions in best(
        built(), unit(2), k, np.zeros(N, dtype=bool), groups=np.zeros(N, dtype=int)
    ):
        assert (scores.tolist(), positions.tolist()) == ([], [])
    assert best(built(), unit(0), k) == []


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"k": 0}, "k is 0: it must be 1 or more"),
        ({"k": 3, "min_score": 80}, r"min_score is 80: scores are cosines, -1\.\.1"),
        ({"k": 3, "min_score": float("nan")}, "min_score is nan"),
    ],
)
def test_what_can_not_be_asked(wishes, message):
    with pytest.raises(ValueError, match=message):
        best(built(), unit(1), **wishes)
