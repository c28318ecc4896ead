import numpy as np
import pytest
from indexes.test_faiss import unit

from vsearch.indexes import prefix_bound
from vsearch.indexes.prefix_bound import (
    Codes,
    Grid,
    farthest,
    gamma,
    principal_axes,
    turned,
)


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


def lowest(grid: Grid, asked: Codes, coded: Codes) -> np.ndarray:
    """The L2 distances that the codes allow for, at least (q, n): by loops, without rounding."""
    bounds = np.empty((len(asked.numbers), len(coded.numbers)))
    for q, query in enumerate(asked.numbers.tolist()):
        for n, vector in enumerate(coded.numbers.tolist()):
            square = sum((a - b) ** 2 for a, b in zip(query, vector, strict=True))
            bounds[q, n] = grid.step * square**0.5 - asked.errors[q] - coded.errors[n]
    return bounds


def over(vectors: np.ndarray, p: int) -> Grid:
    return Grid.over(vectors, turned(principal_axes(vectors, p)))


def true(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """L2 distances in float64 (q, n)."""
    wide = queries.astype(np.float64)[:, None] - vectors.astype(np.float64)
    return np.linalg.norm(wide, axis=2)


@pytest.mark.parametrize("make", [unit, low_rank, near_copies, long])
@pytest.mark.parametrize(("dim", "p"), [(2, 1), (16, 4), (16, 16), (300, 32), (2048, 64)])
def test_no_vector_seems_farther_than_it_is(make, dim, p):
    vectors = make(60, dim)
    queries = np.concatenate([make(5, dim, seed=1), vectors[:5], -vectors[:5], 2 * vectors[:2]])
    grid = over(vectors, p)
    asked = grid.query_codes(queries)
    coded = grid.coded(vectors)
    distances = true(queries, vectors)
    assert (lowest(grid, asked, coded) <= distances).all()

    apart = np.linalg.norm(asked.numbers[:, None] - coded.numbers, axis=2)
    for n in range(len(vectors)):
        assert (
            apart[:, n] <= grid.code_distance(distances[:, n], asked.errors + coded.errors[n])
        ).all()


def departure(basis: np.ndarray) -> float:
    """How far axes are from orthonormal ones."""
    return Grid(basis, np.zeros(basis.shape[1]), 1.0).departure


def test_axes_that_are_not_orthonormal_hide_nothing(monkeypatch):
    vectors = unit(100, 64)
    bent = np.float32(1.1) * turned(principal_axes(vectors, 64))  # bounds by these are too high
    asked = -vectors[:10]
    grid = Grid.over(vectors, bent)
    assert grid.departure > 0.2
    assert (
        lowest(grid, grid.query_codes(asked), grid.coded(vectors)) <= true(asked, vectors)
    ).all()
    monkeypatch.setattr(Grid, "departure", 0.0)
    grid = Grid.over(vectors, bent)
    assert (lowest(grid, grid.query_codes(asked), grid.coded(vectors)) > true(asked, vectors)).any()


def test_with_all_components_the_bound_is_nearly_the_distance():
    vectors = unit(50, 8)
    grid = over(vectors, 8)
    bounds = lowest(grid, grid.query_codes(vectors), grid.coded(vectors))
    assert np.abs(bounds - true(vectors, vectors)).max() < 0.06


def test_by_hand():
    vectors = np.array([[0, 0, 7], [255, 0, 7], [0, 10, 7], [85, 20, 7]], np.float32)
    grid = Grid.over(vectors, np.eye(3, 2, dtype=np.float32))
    assert grid.step == 1
    coded = grid.coded(vectors)
    assert coded.numbers.tolist() == [[0, 0], [255, 0], [0, 10], [85, 20]]
    assert coded.errors.max() < 1e-6
    asked = grid.query_codes(np.array([[100.3, 22.4, 0]], np.float32))
    assert asked.numbers.tolist() == [[100, 22]]
    assert asked.errors[0] == pytest.approx(0.5, abs=1e-3)
    assert grid.code_distance(np.array([15.0]), asked.errors) == pytest.approx(15.5, abs=1e-3)


def test_what_lies_outside_the_grid_is_coded_at_its_edge():
    vectors = unit(50, 8)
    grid = over(vectors, 4)
    far = 3 * unit(5, 8, seed=1)
    asked = grid.query_codes(far)
    assert asked.numbers.min() == 0
    assert asked.numbers.max() == 255
    coded = grid.coded(vectors)
    assert asked.errors.min() > 10 * coded.errors.max()
    assert (lowest(grid, asked, coded) <= true(far, vectors)).all()


def test_in_chunks(monkeypatch):
    vectors = unit(50, 8)
    whole = over(vectors, 4)
    monkeypatch.setattr(prefix_bound, "CHUNK", 7)
    again = Grid.over(vectors, whole.basis)
    assert np.allclose(again.low, whole.low)
    assert again.step == pytest.approx(whole.step)


@pytest.mark.parametrize("make", [unit, low_rank, near_copies])
def test_axes_are_orthonormal_and_the_first_ones(make):
    vectors = make(200, 32)
    axes = principal_axes(vectors, 3)
    assert departure(axes) < 1e-10
    exact = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)[1][:3]
    assert np.linalg.norm(vectors @ axes) > 0.95 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    "vectors", [np.ones((5, 8), np.float32), np.zeros((3, 8), np.float32), unit(1, 8)]
)
def test_fewer_directions_than_axes(vectors):
    assert departure(principal_axes(vectors, 6)) < 1e-10


def test_turned_axes_span_the_same_space():
    axes = principal_axes(low_rank(100, 32), 4)
    again = turned(axes)
    assert departure(again) < 1e-5
    assert np.allclose(again @ again.T, axes @ axes.T, atol=1e-6)


@pytest.mark.parametrize("square", [0.0, 0.25, 1.0])
def test_computed_distances_are_widened_by_their_rounding(square):
    off = gamma(2050, 2.0**-24)
    distance = farthest(np.array([square]), 2048)
    nearest = square * (1 + off) / (1 - off)  # of the same vector, if computed again
    assert distance >= (nearest / (1 - off)) ** 0.5
    assert distance == pytest.approx(square**0.5, rel=4 * 2050 * 2.0**-24)
