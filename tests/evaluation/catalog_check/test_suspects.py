import numpy as np
import pytest

from vsearch.evaluation.catalog_check.findings import Limits
from vsearch.evaluation.catalog_check.neighbours import NONE, Neighbours
from vsearch.evaluation.catalog_check.suspects import mislabels, outliers


def alone(n: int) -> list[np.ndarray]:
    return [np.array([row]) for row in range(n)]


def test_all_neighbours_must_agree_on_another_label():
    labels = np.array(["hat", "cap", "cap", "cap", "hat"], dtype=object)
    places = np.array([[1, 2, 3], [0, 2, 3], [1, 3, NONE], [4, 1, 2], [1, 2, 0]])
    found = Neighbours(places, np.full((5, 3), 0.9))
    (one,) = mislabels(found, alone(5), labels)
    assert (one.rows, one.value, one.others) == ((0,), 0.9, (1, 2, 3))
    assert one.text == "'hat', but its 3 nearest are 'cap' (mean score 0.900)"


def test_of_identical_photos_the_one_with_another_label_is_named():
    labels = np.array(["hat", "hat", "hat", "cap"], dtype=object)
    found = Neighbours(np.array([[1, 2], [0, 2], [0, 1]]), np.full((3, 2), 0.9))
    contents = [np.array([0, 3]), np.array([1]), np.array([2])]
    assert [one.rows for one in mislabels(found, contents, labels)] == [(3,)]


def test_no_neighbours_no_suspects():
    found = Neighbours(np.empty((1, 0), dtype=np.int64), np.empty((1, 0)))
    assert [*mislabels(found, alone(1), np.array(["hat"]))] == []
    assert [*outliers(found, alone(1), np.array(["hat"]), Limits())] == []


def spread(distances: np.ndarray) -> Neighbours:
    """Each has two neighbours at its distance."""
    scores = 1 - distances**2 / 2
    return Neighbours(np.tile([0, 1], (len(distances), 1)), np.stack([scores, scores], 1))


def test_outliers_by_the_formula():
    rng = np.random.default_rng(0)
    distances = np.concatenate([rng.normal(0.3, 0.05, 40), rng.normal(0.8, 0.1, 30)])
    distances[[3, 50]] = 0.9, 1.4
    labels = np.array(["hat"] * 40 + ["cap"] * 30)
    found = {
        one.rows[0]: one.value
        for one in outliers(spread(distances), alone(70), labels, Limits(outlier=3))
    }
    wanted = {}
    for label in ("hat", "cap"):
        own = np.flatnonzero(labels == label)
        middle = np.median(distances[own])
        deviation = max(1.4826 * np.median(np.abs(distances[own] - middle)), 0.1 * middle)
        wanted |= {
            row: (distances[row] - middle) / deviation
            for row in own
            if distances[row] > middle + 3 * deviation
        }
    assert found == pytest.approx(wanted, abs=0.01)
    assert {3, 50} <= set(found)


def test_0_9_is_far_for_hats_and_usual_for_caps():
    distances = np.array([0.1] * 20 + [0.9] + [0.9] * 21)
    labels = np.array(["hat"] * 21 + ["cap"] * 21)
    assert [one.rows for one in outliers(spread(distances), alone(42), labels, Limits())] == [(20,)]


def test_small_labels_are_taken_together_or_left_alone():
    distances = np.array([0.1] * 21 + [0.9])
    labels = np.array([f"{number % 4}" for number in range(22)])
    assert [one.rows for one in outliers(spread(distances), alone(22), labels, Limits())] == [(21,)]
    assert [*outliers(spread(distances[4:]), alone(18), labels[4:], Limits())] == []
