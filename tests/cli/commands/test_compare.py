import json
from pathlib import Path

import pandas as pd
import pytest
from project import Project
from test_comparison import BASE, BETTER
from test_runs import LABELS, made

from vsearch.cli.main import main

WORSE = {"precision_at_1": [0] * 6, "map_at_r": [0.1, 0.2, 0.2, 0.3, 0.3, 0.1]}


@pytest.fixture(autouse=True)
def _wide(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def runs(tmp_path) -> list[str]:
    return [
        str(made(tmp_path / f"version_{i}", values))
        for i, values in enumerate((BASE, BETTER, WORSE))
    ]


def ending(*words: str | Path) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, words)])
    return ended.value.code


def refused(capsys, *words: str | Path) -> str:
    """What the command says as it ends with status 2, in one line."""
    assert ending(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("vsearch compare: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_files_lie_in_the_last_runs_folder_and_tables_in_the_terminal(runs, tmp_path, capsys):
    main(["compare", *runs])
    text, out = capsys.readouterr().out, tmp_path / "version_2" / "comparison"
    assert {path.name for path in out.iterdir()} == {
        *(
            "comparison.md",
            "comparison.json",
            "comparison-won-lost-1.png",
            "comparison-won-lost-2.png",
        )
    }
    for part in (
        "version_1 against version_0",
        "version_2 against version_0",
        "photos decoded",
        f"Comparison: {out}",
    ):
        assert part in text
    assert not (tmp_path / "version_1" / "comparison").exists()


def test_json_is_what_the_file_holds_and_a_second_call_replaces_it(runs, tmp_path, capsys):
    out = tmp_path / "here"
    main(["compare", *runs, "--out", str(out)])
    capsys.readouterr()
    main(["compare", *runs[:2], "--out", str(out), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "comparison.json").read_text())
    assert [run["name"] for run in report["runs"]] == ["version_1"]
    assert {path.name for path in out.iterdir()} == {
        "comparison.md",
        "comparison.json",
        "comparison-won-lost.png",
    }


def test_a_run_that_is_worse_fails_and_one_that_is_not_passes(runs, capsys):
    main(["compare", *runs[:2], "--fail-if-worse", "map_at_r:0.01", "precision_at_1_macro:0.2"])
    assert capsys.readouterr().out.count("passed: version_1") == 2
    assert ending(*runs, "--fail-if-worse", "precision_at_1:0.01") == 1
    text = capsys.readouterr().out
    assert "passed: version_1: precision_at_1" in text
    assert "FAILED: version_2: precision_at_1 -0.5000, may fall by 0.01; its 95 % interval" in text


def test_a_failing_run_is_written_too_and_fails_with_json(runs, tmp_path, capsys):
    assert (
        ending(
            *runs,
            "--json",
            "--fail-if-worse",
            "map_at_r:0",
            "--fail-if-worse",
            "map_at_r_macro:0.9",
        )
        == 1
    )
    gates = json.loads(capsys.readouterr().out)["gates"]
    assert [(gate["run"], gate["metric"], gate["passed"]) for gate in gates] == [
        ("version_1", "map_at_r", True),
        ("version_1", "map_at_r_macro", True),
        ("version_2", "map_at_r", False),
        ("version_2", "map_at_r_macro", True),
    ]
    assert "FAILED" in (tmp_path / "version_2" / "comparison" / "comparison.md").read_text()


def test_runs_that_can_not_be_compared_are_refused_in_one_line(runs, tmp_path, capsys):
    other = made(tmp_path / "other", {"precision_at_1": [1] * 5}, labels=LABELS[:5])
    assert "other has other queries than version_0" in refused(capsys, runs[0], other)
    assert not (other / "comparison").exists()
    assert "isn't a finished run" in refused(capsys, runs[0], tmp_path / "nowhere")
    assert "name two runs or more" in refused(capsys, runs[0])
    for same in (runs[0], f"{runs[0]}/bundle", f"{tmp_path}/other/../version_0"):
        assert f"{runs[0]} is named twice" in refused(capsys, *runs[:2], same)
    assert not (tmp_path / "version_0" / "comparison").exists()
    known = refused(capsys, *runs, "--fail-if-worse", "precision:0.1")
    assert "no metric 'precision' in common; they have precision_at_1, map_at_r" in known
    (Path(runs[1]) / "bundle" / "queries.parquet").unlink()
    assert "has no queries.parquet" in refused(capsys, *runs)


def test_a_folder_with_other_files_is_not_replaced(runs, tmp_path, capsys):
    assert "holds other files" in refused(capsys, *runs, "--out", tmp_path)
    assert (tmp_path / "version_0" / "bundle").is_dir()


@pytest.mark.parametrize(
    "limit", ["map_at_r", "map_at_r:", ":0.1", "map_at_r:-0.1", "map_at_r:nan", "map_at_r:x"]
)
def test_a_limit_that_is_none_is_refused(runs, capsys, limit):
    assert ending(*runs, "--fail-if-worse", limit) == 2
    assert (
        f"{limit!r} is not METRIC:DELTA with a DELTA of 0 or more: map_at_r:0.01"
        in capsys.readouterr().err
    )


def test_two_real_fits(tmp_path, capsys):
    project = Project(tmp_path)
    base, run = project.run("fit"), project.run("fit", "--seed_everything", "7")
    capsys.readouterr()
    main(
        ["compare", str(base), str(run / "bundle"), "--json", "--fail-if-worse", "precision_at_1:1"]
    )
    report = json.loads(capsys.readouterr().out)
    (entry,) = report["runs"]
    assert report["queries"] == len(pd.read_parquet(run / "bundle" / "queries.parquet"))
    for side, folder in (("base", base), ("value", run)):
        measured = json.loads((folder / "bundle" / "report.json").read_text())["metrics"]["trained"]
        for metric, kinds in measured.items():
            for kind, estimate in kinds.items():
                assert entry["metrics"][metric][kind][side] == pytest.approx(estimate["value"])
    assert entry["settings"]["seed_everything"] == {"base": "0", "value": "7"}
    assert any("protocol seeds" in note for note in entry["notes"])
    for cost in (report["base"]["cost"], entry["cost"]):
        assert all(value > 0 for value in cost.values())
    assert (run / "comparison" / "comparison.md").is_file()
    other = project.run("fit", "--data.split.init_args.seed", "5")
    capsys.readouterr()
    assert "Another catalog or split?" in refused(capsys, base, other)
