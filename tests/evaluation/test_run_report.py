import json
from dataclasses import FrozenInstanceError

import pytest
from made_up_report import changed, made_up_report, without

from vsearch.evaluation.run_report import RunReport

LEAKAGE = {
    "queries_with_copies": 12,
    "queries_with_copies_in_gallery": 3,
    "naive_precision_at_1": {"trained": 0.9},
    "clean_precision_at_1": {"trained": 0.8},
}


def test_what_is_written_comes_back():
    report = changed(made_up_report(), "leakage", value=LEAKAGE)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["leakage"] == LEAKAGE
    assert content["model"]["wanted"] is None
    assert RunReport.from_json(content) == report


def test_what_was_not_measured_is_absent():
    content = made_up_report().to_json()
    assert not {"axes", "graded", "calibration", "training", "data"} & set(content)
    assert content["leakage"] == {}
    assert not {"why", "frontier", "trial"} & set(content["index"])
    assert "untrained" not in without(made_up_report(), "metrics", "untrained").to_json()["metrics"]


def test_older_and_newer_files_are_read():
    report = made_up_report()
    assert without(report, "model", "wanted") == report
    assert changed(report, "something", value={"new": 1}) == report


def test_a_missing_section_is_refused():
    with pytest.raises(TypeError, match="protocol"):
        without(made_up_report(), "protocol")


def test_a_report_does_not_change():
    with pytest.raises(FrozenInstanceError):
        made_up_report().protocol.items = 1
