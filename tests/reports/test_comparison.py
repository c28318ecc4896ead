import json
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from test_comparison import BASE, BETTER
from test_runs import LABELS, made, opened

from vsearch.evaluation.comparing.comparison import ComparisonError, compare
from vsearch.evaluation.comparing.gates import judge
from vsearch.evaluation.comparing.runs import open_runs
from vsearch.reports.comparison import summary
from vsearch.reports.comparison_files import comparison_files, refuse_foreign, write
from vsearch.reports.comparison_tables import classes, show


@pytest.fixture
def compared(tmp_path):
    base = opened(
        tmp_path / "version_0",
        BASE,
        settings={"model": {"loss": {"margin": 0.3}, "warmup_steps": 0}},
    )
    run = opened(
        tmp_path / "[new]",
        BETTER,
        settings={"model": {"loss": {"margin": 0.5}, "warmup_steps": 0}},
        cost=None,
    )
    return [compare(base, run)]


def test_the_summary_is_plain_json_with_all_that_was_found(compared, tmp_path):
    report = summary(compared, judge(compared, [("map_at_r", 0.01)])).to_json()
    assert json.loads(json.dumps(report)) == report
    assert (report["queries"], report["labels"], report["gallery"], report["synthetic"]) == (
        6,
        3,
        6,
        False,
    )
    assert (report["base"]["name"], report["base"]["folder"]) == (
        "version_0",
        str(tmp_path / "version_0"),
    )
    (entry,) = report["runs"]
    found = compared[0].metrics["map_at_r"]["macro"]
    assert entry["metrics"]["map_at_r"]["macro"]["value"] == found.value
    assert (
        entry["metrics"]["map_at_r"]["macro"]["difference"]["p_value"] == found.difference.p_value
    )
    assert entry["settings"] == {"model.loss.margin": {"base": "0.3", "value": "0.5"}}
    assert (entry["won"], entry["lost"]) == (["q1", "q2"], ["q4", "q5"])
    assert entry["queries"]["precision_at_1"] == {"won": 1, "lost": 1, "same": 4}
    assert entry["queries"]["map_at_r"] == {"won": 2, "lost": 2, "same": 2}
    assert [label["label"] for label in entry["labels"]["map_at_r"]] == ["a", "b", "c"]
    assert [gate["passed"] for gate in report["gates"]] == [True]


AXES = {"colour": {"precision_at_1": 0.5, "cmc_at_5": 0.7}, "(graded)": {"ndcg_at_10": 0.6}}
OTHER_AXES = {
    "colour": {"precision_at_1": 0.55, "cmc_at_10": 0.9},
    "size": {},
    "(graded)": {"ndcg_at_10": 0.65},
}


def test_further_axes_stand_side_by_side(tmp_path):
    runs = (
        opened(tmp_path / "one", BASE, axes=AXES),
        opened(tmp_path / "two", BETTER, axes=OTHER_AXES),
    )
    comparisons = [compare(*runs)]
    report, out = summary(comparisons, []), StringIO()
    found = report.to_json()["runs"][0]["axes"]
    assert {name: list(axis) for name, axis in found.items()} == {
        "colour": ["precision_at_1"],
        "(graded)": ["ndcg_at_10"],
    }
    sides = found["colour"]["precision_at_1"]
    assert (sides["base"]["value"], sides["value"]["value"]) == (0.5, 0.55)
    row = ["colour", "precision@1", "0.500 [0.400, 0.600]", "0.550 [0.450, 0.650]"]
    text = comparison_files(report, comparisons)["comparison.md"].decode()
    assert "| axis | metric | one | two |" in text
    assert f"| {' | '.join(row)} |" in text
    show(report, Console(file=out, width=160, markup=False))
    assert all(part in out.getvalue() for part in ("Other axes", *row, "(graded)"))


def test_without_axes_there_is_no_word_of_them(compared):
    report, out = summary(compared, []), StringIO()
    show(report, Console(file=out, width=160, markup=False))
    assert report.runs[0].axes == {}
    assert (
        "axes" not in out.getvalue() + comparison_files(report, compared)["comparison.md"].decode()
    )


def test_settings_are_said_to_differ_only_where_both_are_known(tmp_path):
    base, run = opened(tmp_path / "one", BASE, settings={"a": 1}), opened(tmp_path / "two", BETTER)
    assert summary([compare(base, run)], []).runs[0].settings == {}


def test_the_markdown_says_everything(compared):
    report = summary(compared, judge(compared, [("precision_at_1", 0.01)]))
    files = comparison_files(report, compared)
    text = files["comparison.md"].decode()
    assert "# [new] against version_0" in text
    assert "| model.loss.margin | 0.3 | 0.5 |" in text
    assert "| trained parameters, with the loss's | 1,234,567 | - |" in text
    assert "| bytes per vector in the index | 8,192 | - |" in text
    assert "| ms per search, index alone (p50) | 0.25 | 0.25 |" in text
    assert "- [new] is older than the recording of costs" in text
    assert "MAP@R: 1 labels won, 2 lost, 0 the same; 2 queries won, 2 lost, 2 the same." in text
    assert "- passed: [new]: precision_at_1 +0.0000, may fall by 0.01" in text
    change = compared[0].metrics["map_at_r"]["micro"].difference
    interval = f"[{change.low:+.3f}, {change.high:+.3f}]"
    assert f"| MAP@R | 0.467 | 0.517 | +0.050 {interval} | {change.p_value:.3f} |" in text
    assert "![queries won and lost](comparison-won-lost.png)" in text
    assert json.loads(files["comparison.json"]) == report.to_json()
    assert set(files) == {"comparison.md", "comparison.json", "comparison-won-lost.png"}


def test_the_terminal_shows_brackets_as_they_are(compared):
    out = StringIO()
    show(
        summary(compared, judge(compared, [("map_at_r", 0)])),
        Console(file=out, width=160, markup=False),
    )
    text = out.getvalue()
    assert "6 queries of 3 labels search 6 items." in text
    assert "p: how easily other queries would reverse its sign" in " ".join(text.split())
    for part in (
        "[new] against version_0",
        "metric (micro)",
        "metric (macro)",
        "passed: [new]: map_at_r +0.0500",
    ):
        assert part in text
    assert "Note: [new] is older than the recording of costs" in text


def test_each_of_several_runs_has_its_section_its_cost_and_its_picture(tmp_path):
    base, *others = open_runs(
        [made(tmp_path / f"version_{i}", values) for i, values in enumerate((BASE, BETTER, BASE))]
    )
    comparisons = [compare(base, other) for other in others]
    report = summary(comparisons, [])
    files = comparison_files(report, comparisons)
    assert [run.picture for run in report.runs] == ["comparison-won-lost-1.png", None]
    assert set(files) == {"comparison.md", "comparison.json", "comparison-won-lost-1.png"}
    text = files["comparison.md"].decode()
    assert "# version_1, version_2 against version_0" in text
    assert "| cost | version_0 | version_1 | version_2 |" in text
    assert (
        text.index("## version_1")
        < text.index("comparison-won-lost-1.png")
        < text.index("## version_2")
    )
    assert "No query changed." in text


def test_synthetic_photos_are_said_to_be(tmp_path):
    runs = [opened(tmp_path / name, BASE, protocol={"synthetic": True}) for name in ("one", "two")]
    comparisons = [compare(*runs)]
    report = summary(comparisons, [])
    assert (
        "The photos are SYNTHETIC"
        in comparison_files(report, comparisons)["comparison.md"].decode()
    )


def test_the_labels_shown_are_the_ends():
    changes = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.0, -0.1, -0.2]
    labels = [{"label": str(c), "queries": 1, "base": 0, "value": c, "change": c} for c in changes]
    rows = classes("base", "run", labels).rows
    assert [float(row[0]) for row in rows] == [0.9, 0.8, 0.7, 0.6, 0.5, -0.1, -0.2]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_earlier_comparison_is_replaced_whole(tmp_path):
    out = tmp_path / "runs" / "comparison"
    write(out, {"comparison.md": b"1", "comparison-won-lost.png": b"1"})
    assert content(out) == {"comparison.md": b"1", "comparison-won-lost.png": b"1"}
    write(out, {"comparison.md": b"2", "comparison-won-lost-12.png": b"2"})
    assert content(out) == {"comparison.md": b"2", "comparison-won-lost-12.png": b"2"}
    assert [path.name for path in out.parent.iterdir()] == ["comparison"]


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "comparison.md").write_text("old")
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(
        ComparisonError, match=r"holds other files \(thesis.tex\): name a separate folder"
    ):
        write(tmp_path, {"comparison.md": b"new"})
    assert (tmp_path / "comparison.md").read_text() == "old"
    with pytest.raises(ComparisonError, match="is a file"):
        refuse_foreign(tmp_path / "thesis.tex")


def test_a_failure_while_writing_leaves_the_earlier_comparison(tmp_path, monkeypatch):
    out = tmp_path / "comparison"
    write(out, {"comparison.md": b"1"})

    def full(path: Path, data: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        write(out, {"comparison.md": b"2"})
    assert content(out) == {"comparison.md": b"1"}
    assert [path.name for path in tmp_path.iterdir()] == ["comparison"]


def test_the_pictures_are_pictures(compared, tmp_path):
    report = summary(compared, [])
    (tmp_path / "p.png").write_bytes(comparison_files(report, compared)["comparison-won-lost.png"])
    assert Image.open(tmp_path / "p.png").size[0] > len(LABELS) * 100
