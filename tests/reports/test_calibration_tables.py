import numpy as np
import pytest
from made_up_report import changed

from vsearch.data.io.json_dataclasses import from_json, to_json
from vsearch.evaluation.calibration import Calibration, fit
from vsearch.evaluation.reliability import measured
from vsearch.evaluation.run_report import CalibrationReport
from vsearch.reports.calibration_tables import reliability, sentences
from vsearch.reports.tables import markdown


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    scores = rng.random((1200, 3))
    right = rng.random(scores.shape) < scores
    made = fit(scores[:600], right[:600], source="val photos")
    return reported(made, scores[600:], right[600:])


def reported(made: Calibration, scores: np.ndarray, right: np.ndarray) -> CalibrationReport:
    content = {**made.describe(), "measured": measured(made, scores, right)}
    return from_json(CalibrationReport, content)


def test_the_words_have_the_figures(found):
    text, tested = sentences(found), found.measured
    assert f"Learnt from 600 val photos; {found.right} of them find a right item first." in text
    assert "at most 10 % score below" in text
    assert f"{found.threshold:.4f}" in text
    assert f"{100 * tested.right_refused:.1f} % of those whose best hit is right" in text
    assert f"{100 * tested.wrong_refused:.1f} % of those whose best hit is wrong" in text
    error = tested.expected_calibration_error
    assert (
        "Over the 1,800 hits of the 600 other photos, its expected calibration error is "
        f"{error:.3f}." in text
    )


def test_each_bin_has_a_row(found):
    table = reliability(found)
    assert table.header == ["hits", "mean probability", "share right"]
    assert [row[0] for row in table.rows] == [f"{own.hits:,}" for own in found.measured.bins]
    assert sum(int(row[0]) for row in table.rows) == 1800


def test_no_threshold_is_said_and_nothing_is_claimed_of_it():
    scores, right = np.full((4, 1), 0.5), np.ones((4, 1), bool)
    made = fit(scores, right, source="val photos")
    text = sentences(reported(made, scores, right))
    assert "There is no threshold" in text
    assert "fall below" not in text


def test_the_report_has_a_section_where_it_was_measured(report, found):
    assert "## Calibration" not in markdown(report)
    text = markdown(changed(report, "calibration", value=to_json(found)))
    assert sentences(found) in text.partition("## Calibration")[2].partition("## Labels")[0]
