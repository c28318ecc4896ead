import numpy as np
import pytest
from indexes.test_faiss import unit

from vsearch.indexes.prefix_bound import guard, lower_bounds, principal


def bounds_and_distances(vectors: np.ndarray, queries: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Float32 bounds beside float64 squared distances (q, n), and the longest projection."""
    basis = principal(vectors, p)
    projected, asked = basis.project(vectors), basis.project(queries)
    bounds = lower_bounds(projected, np.einsum("ij,ij->i", projected, projected), asked)
    offsets = queries[:, None].astype(np.float64) - vectors[None].astype(np.float64)
    longest = float(np.linalg.norm(np.concatenate([projected, asked]), axis=1).max())
    return bounds, (offsets**2).sum(axis=2), longest


def low_rank(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 3)) @ rng.standard_normal((3, dim)) + 1e-4 * rng.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def near_copies(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Vectors that differ in float32's last places: where rounding is all there is."""
    rng = np.random.default_rng(seed)
    one = rng.standard_normal(dim)
    return (one / np.linalg.norm(one) + 1e-7 * rng.standard_normal((n, dim))).astype(np.float32)


@pytest.mark.parametrize("make", [unit, low_rank, near_copies])
@pytest.mark.parametrize(("dim", "p"), [(2, 1), (16, 4), (16, 16), (300, 32), (2048, 128)])
def test_no_distance_falls_below_its_bound_by_more_than_the_guard(make, dim, p):
    vectors, queries = make(200, dim), make(20, dim, seed=1)
    for asked in (queries, vectors[:20]):
        bounds, distances, longest = bounds_and_distances(vectors, asked, p)
        assert (bounds <= distances + guard(distances, p, dim, longest)).all()


def test_with_all_components_the_bound_is_the_distance():
    bounds, distances, _ = bounds_and_distances(unit(50, 8), unit(5, 8, seed=1), 8)
    assert np.abs(bounds - distances).max() < 1e-5


def test_by_hand():
    vectors = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32)  # the first axis is x
    bounds, distances, _ = bounds_and_distances(vectors, np.array([[3, 4]], np.float32), 1)
    assert bounds[0] == pytest.approx([16, 36 + 16, 9 + 9, 9 + 9])  # |y - y'|^2 + (r - r')^2
    assert distances[0] == pytest.approx([16, 36 + 16, 9 + 9, 9 + 25])


def test_the_guard_is_small_beside_distances():
    assert guard(0.5, 128, 2048, 1.0) < 2e-4


def test_one_query_and_several_have_the_same_bounds():
    basis = principal(unit(50, 8), 3)
    projected, asked = basis.project(unit(50, 8)), basis.project(unit(4, 8, seed=1))
    lengths = np.einsum("ij,ij->i", projected, projected)
    several = lower_bounds(projected, lengths, asked)
    assert np.allclose(several, [lower_bounds(projected, lengths, one) for one in asked], atol=1e-6)
