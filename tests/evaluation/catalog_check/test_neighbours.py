import numpy as np
import pytest

from vsearch.evaluation.catalog_check.neighbours import (
    NONE,
    Neighbours,
    nearest,
    without_copies,
)


def unit(n: int, dim: int = 5) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_nearest_are_those_of_a_loop():
    vectors = unit(40)
    found = nearest(vectors, 6)
    for row, own in enumerate(vectors):
        others = sorted(
            (other for other in range(40) if other != row), key=lambda other: -own @ vectors[other]
        )
        assert found.positions[row].tolist() == others[:6]
        assert found.scores[row] == pytest.approx(
            [own @ vectors[other] for other in others[:6]], abs=1e-5
        )


@pytest.mark.parametrize("n", [1, 3])
def test_fewer_than_are_asked_for(n):
    assert nearest(unit(n), 6).positions.shape == (n, n - 1)


def test_itself_is_never_found_however_many_copies_there_are():
    found = nearest(np.tile(unit(1), (30, 1)), 4)
    assert found.positions.shape == (30, 4)
    assert not (found.positions == np.arange(30)[:, None]).any()


def test_copies_count_once_and_a_photos_own_not_at_all():
    group = np.array([0, 0, 1, 2, 2, 3])
    found = Neighbours(
        np.array([[1, 3, 4, 2, 5], [0, 2, 5, 3, 4], *[[0, 1, 3, 4, 5]] * 4]),
        np.tile([0.9, 0.8, 0.7, 0.6, 0.5], (6, 1)),
    )
    kept = without_copies(found, group, 3)
    assert kept.positions[:3].tolist() == [[3, 2, 5], [2, 5, 3], [0, 3, 5]]
    assert kept.scores[:2].tolist() == [[0.8, 0.6, 0.5], [0.8, 0.7, 0.6]]
    few = without_copies(found, np.array([0, 0, 1, 0, 0, 0]), 3)
    assert few.positions[0].tolist() == [2, NONE, NONE]
    assert np.isnan(few.scores[0, 1:]).all()
