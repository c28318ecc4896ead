import json
from io import BytesIO

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.tensorboard import show_report
from vsearch.reports.files import report_files
from vsearch.reports.tables import markdown


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_the_report_comes_back_as_it_was(report, picture):
    files = report_files(report, picture)
    assert set(files) == {"report.json", "report.md", "results.png"}
    assert json.loads(files["report.json"], parse_constant=refuse) == report.to_json()


def test_the_markdown_holds_the_tables_and_shows_the_picture(report, picture):
    text = report_files(report, picture)["report.md"].decode()
    assert text.startswith(markdown(report))
    assert "![results](results.png)" in text


def test_the_frontier_is_drawn_where_several_indexes_were_tried(with_frontier, picture, tmp_path):
    files = report_files(with_frontier, picture)
    assert set(files) == {"report.json", "report.md", "results.png", "frontier.png"}
    assert "![frontier](frontier.png)" in files["report.md"].decode()
    board = TensorBoardLogger(tmp_path)
    show_report([board], with_frontier, picture)
    (shown,) = EventAccumulator(board.log_dir).Reload().Images("test/frontier")
    with (
        Image.open(BytesIO(shown.encoded_image_string)) as logged,
        Image.open(BytesIO(files["frontier.png"])) as written,
    ):
        assert np.array_equal(np.asarray(logged), np.asarray(written))


@pytest.mark.parametrize(
    ("stage", "lost"),
    [("png", "results.png"), ("frontier", "frontier.png"), ("markdown", "report.md")],
)
def test_what_cannot_be_drawn_fails_alone(with_frontier, picture, monkeypatch, caplog, stage, lost):
    whole = set(report_files(with_frontier, picture))

    def broken(*_: object) -> None:
        raise ValueError("injected")

    monkeypatch.setattr(f"vsearch.reports.files.{stage}", broken)
    files = report_files(with_frontier, picture)
    left = {lost, "frontier.png"} if stage == "png" else {lost}
    assert set(files) == whole - left
    assert f"{lost} can't be made (ValueError('injected'))" in caplog.text
    assert b"results.png" not in files.get("report.md", b"") or "results.png" in files


def test_without_a_picture_the_report_is_written(report, tmp_path):
    files = report_files(report, None)
    assert set(files) == {"report.json", "report.md"}
    show_report([TensorBoardLogger(tmp_path)], report, None)


def test_the_picture_is_kept_pixel_by_pixel(report, picture):
    with Image.open(BytesIO(report_files(report, picture)["results.png"])) as opened:
        assert opened.format == "PNG"
        assert np.array_equal(np.asarray(opened), np.asarray(picture))


def test_tensorboard_gets_the_test_metrics_the_tables_and_the_picture(report, picture, tmp_path):
    board = TensorBoardLogger(tmp_path)
    show_report([CSVLogger(tmp_path / "csv"), board], report, picture)
    events = EventAccumulator(board.log_dir).Reload()
    values = {
        name: [point.value for point in events.Scalars(name)] for name in events.Tags()["scalars"]
    }
    assert values == {
        "test/precision_at_1": [pytest.approx(0.9)],
        "test/precision_at_1_macro": [pytest.approx(0.8)],
        "test/map_at_r": [pytest.approx(0.7)],
        "test/map_at_r_macro": [pytest.approx(0.6)],
    }
    assert events.Tags()["tensors"] == ["report/text_summary"]
    (shown,) = events.Images("test/results")
    with Image.open(BytesIO(shown.encoded_image_string)) as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(picture))


def test_tensorboard_gets_the_axes_that_were_measured(with_axes, picture, tmp_path):
    board = TensorBoardLogger(tmp_path)
    show_report([board], with_axes, picture)
    events = EventAccumulator(board.log_dir).Reload()
    names = [
        name
        for name in events.Tags()["scalars"]
        if name.startswith("test/axis/") or "graded" in name
    ]
    assert {name: events.Scalars(name)[0].value for name in names} == {
        "test/axis/colour/precision_at_1": pytest.approx(0.71),
        "test/axis/colour/cmc_at_10": pytest.approx(0.92),
        "test/graded/ndcg_at_10": pytest.approx(0.66),
    }


def test_without_tensorboard_nothing_is_written(report, picture, tmp_path):
    show_report([CSVLogger(tmp_path / "csv")], report, picture)
    assert not list(tmp_path.rglob("events.*"))
