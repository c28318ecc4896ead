import numpy as np
import pytest

from vsearch.search.query_expansion import expanded


def unit(n: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 10, 50])
def test_against_a_loop(k):
    (query,) = unit(1, seed=1)
    vectors = unit(k)
    scores = vectors @ query
    sums = [float(value) for value in query]
    for vector, score in zip(vectors, scores, strict=True):
        if score > 0:
            sums = [value + score**6 * x for value, x in zip(sums, vector, strict=True)]
    length = sum(value**2 for value in sums) ** 0.5
    moved = expanded(query, scores, vectors)
    assert moved == pytest.approx([value / length for value in sums], abs=1e-6)
    assert moved.dtype == np.float32


def test_by_hand():
    query = np.array([1, 0], np.float32)
    hit = np.array([[0.6, 0.8]], np.float32)  # its score is 0.6, its weight 0.6^6
    moved = np.array([1 + 0.046656 * 0.6, 0.046656 * 0.8])
    assert expanded(query, np.array([0.6]), hit) == pytest.approx(moved / np.linalg.norm(moved))


def test_without_hits_or_with_opposite_ones_a_query_stays():
    (query,) = unit(1)
    assert expanded(query, np.zeros(0, np.float32), unit(0)) == pytest.approx(query)
    assert expanded(query, np.array([-1.0]), -query[None]) == pytest.approx(query)
