import json

import numpy as np
import pytest

from vsearch.evaluation.calibration import Calibration, fit
from vsearch.evaluation.reliability import measured, reliability

LINE = Calibration(0.5, 0.1, (0.0, 1.0), (0.0, 1.0), 20, 10)  # the probability is the score


def test_the_error_by_hand():
    found = reliability(np.array([0.1, 0.19, 0.95, 1.0]), np.array([False, True, True, True]))
    assert found["hits"] == 4
    assert [row["hits"] for row in found["bins"]] == [2, 2]
    assert found["expected_calibration_error"] == pytest.approx(
        0.5 * abs(0.145 - 0.5) + 0.5 * abs(0.975 - 1)
    )


def test_many_hits_against_a_loop():
    rng = np.random.default_rng(0)
    probabilities, right = rng.random(500), rng.random(500) < 0.4
    error = 0.0
    for place in range(10):
        own = [i for i in range(500) if place / 10 <= probabilities[i] < (place + 1) / 10]
        error += abs(sum(probabilities[i] - right[i] for i in own)) / 500
    assert reliability(probabilities, right)["expected_calibration_error"] == pytest.approx(error)


def test_true_probabilities_have_next_to_no_error_and_boasts_have_much():
    rng = np.random.default_rng(0)
    probabilities = rng.random(20_000)
    right = rng.random(20_000) < probabilities
    assert reliability(probabilities, right)["expected_calibration_error"] < 0.02
    assert reliability(np.ones(20_000), right)["expected_calibration_error"] == pytest.approx(
        0.5, abs=0.02
    )


def test_refusals_are_told_apart_by_what_was_right():
    scores = np.array([[0.9, 0.1], [0.4, 0.3], [0.45, 0.2], [0.6, 0.5], [np.nan, np.nan]])
    right = np.array([[True, False], [True, False], [False, True], [False, True], [False, False]])
    found = measured(LINE, scores, right)
    assert (found["queries"], found["right"], found["hits"]) == (5, 2, 8)
    assert found["right_refused"] == 1 / 2
    assert found["wrong_refused"] == pytest.approx(2 / 3)  # the one without a hit is refused too
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_a_threshold_or_without_such_queries_nothing_is_said():
    scores, right = np.array([[0.5], [0.6]]), np.ones((2, 1), bool)
    none = measured(fit(scores, right), scores, right)
    assert (none["right_refused"], none["wrong_refused"]) == (None, None)
    some = measured(LINE, scores, right)
    assert (some["right_refused"], some["wrong_refused"]) == (0, None)
    assert reliability(np.zeros(0), np.zeros(0, bool))["expected_calibration_error"] is None


def test_what_was_fit_is_calibrated_on_others():
    rng = np.random.default_rng(0)
    scores = rng.random((4000, 5))
    right = rng.random(scores.shape) < scores**2
    found = measured(fit(scores[:2000], right[:2000]), scores[2000:], right[2000:])
    assert found["expected_calibration_error"] < 0.02
    assert found["right_refused"] == pytest.approx(0.1, abs=0.03)


def test_no_query_at_all():
    found = measured(LINE, np.zeros((0, 1)), np.zeros((0, 1), bool))
    assert (found["queries"], found["hits"], found["expected_calibration_error"]) == (0, 0, None)
