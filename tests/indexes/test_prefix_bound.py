import numpy as np
import pytest
from indexes.test_faiss import unit

from vsearch.indexes.prefix_bound import Prefix, gamma, needed_for, principal_axes, projection_error


def low_rank(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 3)) @ rng.standard_normal(
        (3, dim)
    ) + 1e-4 * rng.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def near_copies(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Vectors that differ in float32's last places: where rounding is all there is."""
    rng = np.random.default_rng(seed)
    one = np.random.default_rng(99).standard_normal(dim)
    return (one / np.linalg.norm(one) + 1e-7 * rng.standard_normal((n, dim))).astype(np.float32)


def long(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """The bound holds for vectors of any length."""
    return unit(n, dim, seed) * np.random.default_rng(seed).uniform(0, 9, (n, 1)).astype(np.float32)


def excess(prefix: Prefix, vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """By how much the float32 bounds lie above the distances in float64, in units of the slack (q,
    n): 1 at most.
    """
    asked = prefix.project(queries)
    wide = queries.astype(np.float64)
    bounds = (wide**2).sum(axis=1)[:, None] - 2.0 * (asked @ prefix.rows)
    distances = ((wide[:, None] - vectors[None].astype(np.float64)) ** 2).sum(axis=2)
    return (bounds - distances) / (2 * prefix.slack(asked)[:, None])


@pytest.mark.parametrize("make", [unit, low_rank, near_copies, long])
@pytest.mark.parametrize(("dim", "p"), [(2, 1), (16, 4), (16, 16), (300, 32), (2048, 64)])
def test_no_bound_lies_above_its_distance_by_more_than_the_slack(make, dim, p):
    vectors, queries = make(100, dim), make(10, dim, seed=1)
    prefix = Prefix.of(vectors, principal_axes(vectors, p))
    for asked in (queries, vectors[:10], -vectors[:10]):
        assert excess(prefix, vectors, asked).max() <= 1
        assert excess(prefix.shortened(max(1, p // 2)), vectors, asked).max() <= 1


def test_axes_that_are_not_orthonormal_cost_slack_and_hide_nothing():
    vectors = low_rank(100, 64)
    bent = principal_axes(vectors, 8) * 1.01  # bounds by these alone are too high
    prefix = Prefix.of(vectors, bent)
    assert prefix.eta > 0.02
    assert excess(prefix, vectors, vectors[:10]).max() <= 1
    assert excess(Prefix(bent, 0.0, Prefix.of(vectors, bent).rows), vectors, vectors[:10]).max() > 1


def test_with_all_components_the_bound_is_the_distance():
    vectors, queries = unit(50, 8), unit(5, 8, seed=1)
    prefix = Prefix.of(vectors, principal_axes(vectors, 8))
    assert np.abs(prefix.project(queries) @ prefix.rows - (queries @ vectors.T - 0.5)).max() < 1e-6


def test_by_hand():
    vectors = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32)  # the first axis is x
    query = np.array([[3, 4]], np.float32)
    prefix = Prefix.of(vectors, principal_axes(vectors, 1))
    bounds = 25 - 2 * (prefix.project(query) @ prefix.rows)
    assert bounds[0] == pytest.approx(
        [16, 36 + 16, 9 + 9, 9 + 9], abs=1e-4
    )  # |y - y'|^2 + (r - r')^2; the last is 34


def test_the_slack_is_small_beside_distances():
    prefix = Prefix.of(unit(10, 512), principal_axes(unit(200, 512), 128))
    assert 1e-6 < prefix.slack(prefix.project(unit(1, 512)))[0] < 2e-5


@pytest.mark.parametrize("make", [unit, low_rank, near_copies])
def test_axes_are_orthonormal_and_the_first_ones(make):
    vectors = make(200, 32)
    axes = principal_axes(vectors, 3)
    assert projection_error(axes) < 1e-12
    exact = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[1][:3]
    assert np.linalg.norm(vectors @ axes) > 0.95 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    "vectors", [np.ones((5, 8), np.float32), np.zeros((3, 8), np.float32), unit(1, 8)]
)
def test_fewer_directions_than_axes(vectors):
    assert projection_error(principal_axes(vectors, 6)) < 1e-12


def test_added_removed_and_shortened_are_as_if_made_so():
    vectors, more = unit(30, 16), unit(10, 16, seed=1)
    axes = principal_axes(vectors, 8)
    whole = Prefix.of(np.concatenate([vectors, more])[[0, 2, *range(4, 40)]], axes)
    grown = Prefix.of(vectors, axes).appended(more).without(np.array([1, 3, 3]))
    assert np.allclose(grown.rows, whole.rows, atol=1e-7)
    kept = np.delete(np.concatenate([vectors, more]), [1, 3], axis=0)
    short = Prefix.of(kept, axes[:, :3])
    assert np.allclose(whole.shortened(3).rows, short.rows, atol=1e-6)


def test_the_needed_for_a_distance_is_rounded_down_and_widens_with_the_limit():
    assert float(needed_for(0.5, 1.0, 2048, 1e-5)) <= 0.25 - 1e-5 - 0.5 * gamma(2050, 2.0**-24) / 2
    assert needed_for(0.5, 1.0, 2048, 1e-5) > needed_for(0.6, 1.0, 2048, 1e-5) > 0.19
    assert needed_for(np.inf, 1.0, 2048, 1e-5) == -np.inf
