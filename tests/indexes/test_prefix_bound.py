import numpy as np
import pytest
from indexes.test_faiss import unit

from vsearch.indexes import prefix_bound
from vsearch.indexes.prefix_bound import (
    Codes,
    Prefix,
    departure,
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


def lowest(prefix: Prefix, codes: Codes) -> np.ndarray:
    """The L2 distances that the codes allow for, at least (q, n): by loops, without rounding."""
    bounds = np.empty((len(codes.numbers), len(prefix.codes)))
    for q, query in enumerate(codes.numbers.tolist()):
        for n, vector in enumerate(prefix.codes.tolist()):
            square = sum((a - b) ** 2 for a, b in zip(query, vector, strict=True))
            bounds[q, n] = prefix.step * square**0.5 - codes.errors[q] - prefix.error
    return bounds


def true(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """L2 distances in float64 (q, n)."""
    wide = queries.astype(np.float64)[:, None] - vectors.astype(np.float64)
    return np.linalg.norm(wide, axis=2)


@pytest.mark.parametrize("finely", [True, False])
@pytest.mark.parametrize("make", [unit, low_rank, near_copies, long])
@pytest.mark.parametrize(("dim", "p"), [(2, 1), (16, 4), (16, 16), (300, 32), (2048, 64)])
def test_no_vector_seems_farther_than_it_is(make, dim, p, finely):
    vectors = make(60, dim)
    queries = np.concatenate([make(5, dim, seed=1), vectors[:5], -vectors[:5], 2 * vectors[:2]])
    prefix = Prefix.of(vectors, turned(principal_axes(vectors, p)))
    codes = prefix.asked(queries, finely)
    distances = true(queries, vectors)
    assert (lowest(prefix, codes) <= distances).all()

    nearness = prefix.nearness(codes)
    for n in range(len(vectors)):
        assert (nearness[:, n] >= prefix.needed(codes, distances[:, n])).all()


@pytest.mark.parametrize("make", [unit, low_rank, long])
def test_vectors_that_the_codes_show_to_be_farther_are_left_out(make):
    vectors, queries = make(60, 32), make(5, 32, seed=1)
    prefix = Prefix.of(vectors, turned(principal_axes(vectors, 8)))
    codes = prefix.asked(queries)
    bounds = lowest(prefix, codes)
    for distance in (0.1, 0.5, 1.0):
        needed = prefix.needed(codes, np.full(5, distance))
        left = prefix.nearness(codes) >= needed[:, None]
        assert not left[bounds > distance + 4 * prefix.step].any()
        assert left[bounds <= distance].all()


def test_axes_that_are_not_orthonormal_hide_nothing(monkeypatch):
    vectors = unit(100, 64)
    bent = np.float32(1.1) * turned(principal_axes(vectors, 64))  # bounds by these are too high
    asked = -vectors[:10]
    prefix = Prefix.of(vectors, bent)
    assert prefix.departure > 0.2
    assert (lowest(prefix, prefix.asked(asked)) <= true(asked, vectors)).all()
    monkeypatch.setattr(prefix_bound, "departure", lambda basis: 0.0)
    prefix = Prefix.of(vectors, bent)
    assert (lowest(prefix, prefix.asked(asked)) > true(asked, vectors)).any()


def test_with_all_components_the_bound_is_nearly_the_distance():
    vectors = unit(50, 8)
    prefix = Prefix.of(vectors, turned(principal_axes(vectors, 8)))
    bounds = lowest(prefix, prefix.asked(vectors))
    assert np.abs(bounds - true(vectors, vectors)).max() < 0.06


def test_by_hand():
    vectors = np.array([[0, 0, 7], [255, 0, 7], [0, 10, 7], [85, 20, 7]], np.float32)
    prefix = Prefix.of(vectors, np.eye(3, 2, dtype=np.float32))
    assert prefix.step == 1
    assert prefix.codes.tolist() == [[0, 0], [255, 0], [0, 10], [85, 20]]
    assert prefix.error < 1e-6
    query = np.array([[100, 22.51, 0]], np.float32)
    for finely, second, error in ((False, 22, 0.51), (True, 22.515625, 0.005625)):
        codes = prefix.asked(query, finely)
        assert codes.numbers.tolist() == [[100, second]]
        assert codes.errors[0] == pytest.approx(error, abs=1e-3)
        nearness = prefix.nearness(codes)[0]
        squares = 100**2 + second**2 - nearness / 32
        to_others = [100**2 + second**2, 155**2 + second**2, 100**2 + (second - 10) ** 2]
        assert squares.tolist() == [*to_others, 15**2 + (second - 20) ** 2]  # 15.2, or 15.1
        assert (nearness >= prefix.needed(codes, np.array([15.25]))).tolist() == [0, 0, 0, 1]
        assert (nearness >= prefix.needed(codes, np.array([14.5]))).sum() == 0


def test_what_lies_outside_the_grid_is_coded_at_its_edge():
    vectors = unit(50, 8)
    prefix = Prefix.of(vectors, turned(principal_axes(vectors, 4)))
    far = 3 * unit(5, 8, seed=1)
    codes = prefix.asked(far)
    assert codes.numbers.min() == 0
    assert codes.numbers.max() == 254
    assert codes.errors.min() > 10 * prefix.error
    assert (lowest(prefix, codes) <= true(far, vectors)).all()
    grown = prefix.appended(far)
    assert grown.error > 10 * prefix.error
    assert (lowest(grown, codes) <= true(far, np.concatenate([vectors, far]))).all()


def test_in_blocks(monkeypatch):
    vectors, queries = unit(50, 8), unit(5, 8, seed=1)
    prefix = Prefix.of(vectors, turned(principal_axes(vectors, 4)))
    codes = prefix.asked(queries)
    whole = prefix.nearness(codes)
    monkeypatch.setattr(prefix_bound, "BLOCK", 35)
    monkeypatch.setattr(prefix_bound, "CHUNK", 7)
    again = Prefix.of(vectors, prefix.basis)
    assert np.array_equal(again.nearness(codes), whole)
    assert again.error == pytest.approx(prefix.error)


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


def test_added_and_removed_are_as_if_made_so():
    vectors, more = unit(30, 16), unit(10, 16, seed=1)
    prefix = Prefix.of(vectors, turned(principal_axes(vectors, 8)))
    grown = prefix.appended(more).without(np.array([1, 3, 3]))
    kept = np.delete(np.concatenate([vectors, more]), [1, 3], axis=0)
    assert np.array_equal(grown.codes, prefix.appended(kept).codes[30:])
    assert grown.error == prefix.appended(more).error >= prefix.error
    assert np.array_equal(
        grown.nearness(prefix.asked(more), at=np.array([2, 30])),
        grown.nearness(prefix.asked(more))[:, [2, 30]],
    )
    asked = prefix.asked(more)
    assert grown.nearness(asked).shape == (10, 38)


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


def test_products_fit_32_bits():
    edge = np.array([[-1.0] * 512, [1.0] * 512], np.float32)
    prefix = Prefix.of(edge, np.eye(512, dtype=np.float32))
    nearness = prefix.nearness(prefix.asked(edge))
    distances = prefix.step * np.sqrt(
        np.square(prefix.asked(edge).numbers).sum(1)[:, None] - nearness / 32
    )
    assert np.allclose(distances, true(edge, edge), atol=0.2)
