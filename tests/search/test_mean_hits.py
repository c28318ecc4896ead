import numpy as np
import pytest
from small_bundle import unit_vectors

from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.search.best_hits import best
from vsearch.search.mean_hits import best_means
from vsearch.search.query_expansion import kept_vectors

N = 300


def built(factory: str = "Flat") -> FaissIndex:
    index = FaissIndex(factory)
    index.build(unit_vectors(N))
    return index


def means(index, queries, k, groups, allowed=None, min_score=None, asked=None):
    def vectors(positions):
        if asked is not None:
            asked.append(len(positions))
        return kept_vectors(index, positions)

    return best_means(index, vectors, queries, k, groups, allowed, min_score)


def by_loop(vectors, query, k, groups, allowed=None, min_score=None) -> list[tuple[int, float]]:
    """Each product's best photo and mean; of equal means the first best photo is first."""
    photos_of: dict[object, list[int]] = {}
    for i, group in enumerate(groups):
        if allowed is None or allowed[i]:
            photos_of.setdefault(group if group >= 0 else f"alone {i}", []).append(i)
    found = []
    for photos in photos_of.values():
        scores = [float(vectors[i] @ query) for i in photos]
        mean = sum(scores) / len(scores)
        if min_score is None or mean >= min_score:
            found.append((photos[scores.index(max(scores))], mean))
    return sorted(found, key=lambda one: (-one[1], one[0]))[:k]


@pytest.mark.parametrize("k", [1, 7, 100, N, 1000, None])
@pytest.mark.parametrize("min_score", [None, -1, 0.0, 0.6, 0.99])
@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("of_groups", [1, 5, 120])
def test_means_are_those_of_a_loop(k, min_score, filtered, of_groups):
    rng = np.random.default_rng(1)
    allowed = rng.random(N) < 0.4 if filtered else None
    groups = rng.integers(-1, of_groups, N)
    queries = unit_vectors(6, seed=2)
    found = means(built(), queries, k, groups, allowed, min_score)
    for query, (scores, positions) in zip(queries, found, strict=True):
        wanted = by_loop(unit_vectors(N), query, k, groups, allowed, min_score)
        assert positions.tolist() == [position for position, _ in wanted]
        assert scores == pytest.approx([mean for _, mean in wanted], abs=1e-6)


def clustered(n: int) -> tuple[FaissIndex, np.ndarray, np.ndarray]:
    """Photos of a product lie together, every seventh elsewhere: hits alone don't give means."""
    rng = np.random.default_rng(3)
    groups = rng.permutation(np.arange(n) // 4)
    vectors = unit_vectors(n // 4 + 1, 16, seed=4)[groups] + 0.1 * rng.standard_normal((n, 16))
    vectors[::7] = rng.standard_normal((len(vectors[::7]), 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = FaissIndex()
    index.build(vectors)
    return index, vectors, groups


def test_a_large_index_is_asked_for_a_part_of_its_photos():
    index, vectors, groups = clustered(4000)
    asked: list[int] = []
    for query in vectors[:5]:
        ((scores, positions),) = means(index, query[None], 3, groups, asked=asked)
        wanted = by_loop(vectors, query, 3, groups)
        assert positions.tolist() == [position for position, _ in wanted]
        assert scores == pytest.approx([mean for _, mean in wanted], abs=1e-6)
    assert max(asked) < len(vectors) / 2


def test_products_that_rise_and_fall_by_their_other_photos():
    angles = np.array([0, 60, 20, 20, 30, 90]) * np.pi / 180
    index = ExactIndex()
    index.build(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    query, groups = np.array([[1, 0]], np.float32), np.array([7, 7, 4, 4, -1, 5])
    ((scores, positions),) = means(index, query, None, groups)
    assert positions.tolist() == [2, 4, 0, 5]
    assert scores == pytest.approx([np.cos(np.pi / 9), np.cos(np.pi / 6), 0.75, 0], abs=1e-6)
    without = np.array([True, False, True, True, True, True])
    assert means(index, query, 2, groups, without)[0][1].tolist() == [0, 2]


@pytest.mark.parametrize("of_groups", [3, 40])
def test_equal_photos_and_equal_means(of_groups):
    vectors = unit_vectors(10)[np.arange(N) % 10]
    index = ExactIndex()
    index.build(vectors)
    groups = np.arange(N) % of_groups
    for query in unit_vectors(4, seed=2):
        ((scores, positions),) = means(index, query[None], 5, groups)
        wanted = by_loop(vectors, query, 5, groups)
        assert scores == pytest.approx([mean for _, mean in wanted], abs=1e-6)
        assert len(set(groups[positions])) == len(positions)


def test_products_of_one_photo_are_plain_hits():
    plain = best(built(), unit_vectors(3, seed=2), 20)
    for groups in (np.full(N, -1), np.arange(N)):
        for mine, (scores, positions) in zip(
            means(built(), unit_vectors(3, seed=2), 20, groups), plain, strict=True
        ):
            assert mine[1].tolist() == positions.tolist()
            assert mine[0] == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize("factory", ["HNSW8", "IVF8,Flat", "SQ8", "PQ4x4fs", "PCA6,SQ8"])
def test_every_kind_that_gives_vectors_back_has_means(factory):
    index = built(factory)
    groups = np.random.default_rng(1).integers(0, 40, N)
    kept = kept_vectors(index, np.arange(N))
    for query in unit_vectors(5, seed=2):
        ((scores, positions),) = means(index, query[None], None, groups)
        wanted = by_loop(kept, query, None, groups)
        assert scores == pytest.approx([mean for _, mean in wanted], abs=1e-5)
        assert sorted(groups[positions]) == [*range(40)]


@pytest.mark.parametrize("k", [3, None])
def test_nothing_is_allowed(k):
    nothing = np.zeros(N, dtype=bool)
    for scores, positions in means(built(), unit_vectors(2), k, np.zeros(N, dtype=int), nothing):
        assert (scores.tolist(), positions.tolist()) == ([], [])


def test_what_can_not_be_asked():
    with pytest.raises(ValueError, match="k is 0"):
        means(built(), unit_vectors(1), 0, np.zeros(N, dtype=int))
