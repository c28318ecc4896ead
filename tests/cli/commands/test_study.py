import json
import os
import re
import shutil
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest
import yaml
from project import ROOT, Project
from refusals import refusal
from test_runs import LABELS, made

from vsearch.cli.commands.study import composed, fit_of
from vsearch.cli.main import main
from vsearch.evaluation.studies.jobs import Job
from vsearch.evaluation.studies.study import METRICS, StudyError, read_study

TRIPLET = ROOT / "configs" / "triplet.yaml"
SHIPPED = sorted((ROOT / "configs" / "studies").glob("*.yaml"))
PATIENCE = yaml.safe_load((ROOT / "configs" / "studies" / "patience.yaml").read_text())["cells"]
QUESTION = "# Is a smaller margin better?\n"
MARGINS = {"recipe": [], "margin 0.1": [{"model": {"loss": {"init_args": {"margin": 0.1}}}}]}


class Work:
    """A folder with a study of two cells; its fits are faked unless a test wants them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tiny = folder, Project(folder).overlay
        self.fitted: list[tuple[str, int]] = []
        self.failing: set[str] = set()
        self.write()

    def write(self, **changed: Any) -> None:
        content = {"baseline": "recipe", "seeds": [0], "cells": MARGINS, **changed}
        (self.folder / "mine.yaml").write_text(QUESTION + yaml.safe_dump(content, sort_keys=False))

    def study(self, *words: str) -> None:
        configs = ["--config", str(TRIPLET), "--config", str(self.tiny)]
        main(
            [
                "study",
                str(self.folder / "mine.yaml"),
                *configs,
                "--out",
                str(self.folder / "out"),
                *words,
            ]
        )

    def refused(self, *words: str, status: int = 2) -> str:
        with pytest.raises(SystemExit) as ended, redirect_stderr(StringIO()) as said:
            self.study(*words)
        assert ended.value.code == status
        return said.getvalue()

    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "out" / "mine" / "study.json").read_text())

    def fake(self, job: Job, lock: object) -> int:
        """Stands in for `processes.fit`."""
        job.begin()
        self.fitted.append((job.cell, job.seed))
        if job.cell in self.failing:
            job.log.write_text("Epoch 0\rEpoch 1\n\nRuntimeError: out of memory\n")
            return 1
        values = np.random.default_rng(job.seed).uniform(0, 1, len(LABELS))
        made(job.folder / "version_0", dict.fromkeys(METRICS, values))
        return 0


@pytest.fixture
def work(tmp_path, monkeypatch) -> Work:
    monkeypatch.setenv("COLUMNS", "200")
    work = Work(tmp_path)
    monkeypatch.setattr("vsearch.evaluation.studies.processes.fit", work.fake)
    return work


class Here:
    """Stands in for a process of `python -m vsearch`: this one, which has imported everything."""

    def __init__(self, words: list[str], stdout: IO[bytes], **_: Any) -> None:
        assert words[:3] == [sys.executable, "-m", "vsearch"]
        with open(stdout.fileno(), "w", closefd=False) as log, redirect_stdout(log):
            main(words[3:])

    def wait(self) -> int:
        return 0

    poll = wait


def test_a_study_runs_is_killed_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        "vsearch.evaluation.studies.processes.subprocess",
        SimpleNamespace(Popen=Here, DEVNULL=None, STDOUT=None),
    )
    work = Work(tmp_path)
    work.write(monitor="val/map_at_r")
    work.study("--trainer.max_epochs", "1")
    text, folder = capsys.readouterr().out, work.folder / "out" / "mine"
    assert "margin 0.1, seed 0: done in" in text
    assert "difference from recipe" in text
    assert {path.name for path in folder.iterdir()} >= {
        "study.md",
        "study.json",
        "study.png",
        "recipe",
        "margin-0.1",
    }
    assert "Is a smaller margin better?" in (folder / "study.md").read_text()
    before = work.result()
    by_cell = {cell["cell"]: cell for cell in before["cells"]}
    assert by_cell["margin 0.1"]["difference"]["low"] <= by_cell["margin 0.1"]["difference"]["high"]
    for name, cell in by_cell.items():
        assert cell["seeds"] == [0]
        assert cell["metrics"]["precision_at_1"]["micro"]["untrained"] is not None
        assert cell["cost"]["bytes_per_vector"] > 0
        settings = yaml.safe_load(
            (folder / name.replace(" ", "-") / "seed-0" / "version_0" / "config.yaml").read_text()
        )
        assert settings["model"]["loss"]["init_args"]["margin"] == (
            0.1 if name == "margin 0.1" else 0.3
        )
        assert (
            settings["seed_everything"],
            settings["data"]["seed"],
            settings["trainer"]["max_epochs"],
        ) == (0, 0, 1)
        monitors = {
            callback["init_args"].get("monitor")
            for callback in settings["trainer"]["callbacks"][:2]
        }
        assert monitors == {"val/map_at_r"}

    run = folder / "margin-0.1" / "seed-0" / "version_0"
    untouched = (folder / "recipe" / "seed-0" / "log.txt").read_text()
    shutil.rmtree(run / "bundle")  # as if it had been killed before the end
    work.study("--trainer.max_epochs", "1")
    assert "margin 0.1, seed 0: resumed, done in" in capsys.readouterr().out
    assert (folder / "recipe" / "seed-0" / "log.txt").read_text() == untouched
    assert [path.name for path in run.parent.glob("version_*")] == ["version_0"]
    for cell in work.result()["cells"]:
        assert cell["metrics"] == by_cell[cell["cell"]]["metrics"]

    assert "trainer.max_epochs: 1 (stored), 2 (asked for now)" in work.refused(
        "--trainer.max_epochs", "2"
    )


def test_every_cell_is_run_with_every_seed_and_what_is_done_is_kept(work, capsys):
    work.study("--seeds", "3,1")
    assert work.fitted == [("recipe", 3), ("margin 0.1", 3), ("recipe", 1), ("margin 0.1", 1)]
    work.study("--seeds", "1,2")
    assert work.fitted[4:] == [("recipe", 2), ("margin 0.1", 2)]
    assert work.result()["seeds"] == [1, 2, 3]
    assert [cell["seeds"] for cell in work.result()["cells"]] == [[1, 2, 3]] * 2
    assert "6 queries" in capsys.readouterr().out


def test_some_cells_are_run_with_the_baseline_and_all_that_are_done_are_ranked(work):
    cells = {**MARGINS, "other": [{"model": {"warmup_steps": 3}}]}
    work.write(cells=cells)
    work.study("--cells", "other")
    assert work.fitted == [("recipe", 0), ("other", 0)]
    assert {cell["cell"]: cell["seeds"] for cell in work.result()["cells"]} == {
        "recipe": [0],
        "margin 0.1": [],
        "other": [0],
    }
    work.study("--cells", "margin 0.1")
    assert work.fitted[2:] == [("margin 0.1", 0)]
    found = {
        cell["cell"]: cell["difference"] for cell in work.result()["cells"] if cell["difference"]
    }
    assert set(found) == {"margin 0.1", "other"}  # so Holm's correction is for two
    work.write(cells={**cells, "other": [{"model": {"warmup_steps": 4}}]})
    assert "model.warmup_steps: 3 (stored), 4 (asked for now)" in work.refused(
        "--cells", "margin 0.1"
    )
    assert "mine has no cell gone" in work.refused("--cells", "gone")


def test_a_cell_that_is_neither_asked_for_nor_done_may_be_broken(work):
    work.write(cells={**MARGINS, "broken": [{"model": {"los": 1}}]})
    work.study("--cells", "margin 0.1")
    assert work.fitted == [("recipe", 0), ("margin 0.1", 0)]


def test_the_studys_monitor_picks_the_epoch_of_every_cell_whatever_its_callbacks(work):
    work.write(cells={**MARGINS, "patience": PATIENCE["patience 1"]}, monitor="val/map_at_r")
    work.study()
    for cell, stops_after in {"recipe": 3, "margin-0.1": 3, "patience": 1}.items():
        stored = json.loads(
            (work.folder / "out" / "mine" / cell / "seed-0" / "cell.json").read_text()
        )
        settings = composed(cell, stored["fit"])  # as the fit itself reads its words
        stop, best, last = (
            callback["init_args"] for callback in settings["trainer"]["callbacks"][:3]
        )
        assert [(one["monitor"], one["mode"]) for one in (stop, best)] == [
            ("val/map_at_r", "max")
        ] * 2
        assert (stop["patience"], stop["min_delta"], best["filename"]) == (
            stops_after,
            0.001,
            "best",
        )
        assert (last["filename"], last["monitor"]) == ("last", None)
        assert stored["settings"]["trainer.callbacks.0.init_args.monitor"] == "val/map_at_r"


def test_without_a_monitor_cells_keep_their_callbacks(work):
    work.study()
    stored = json.loads(
        (work.folder / "out" / "mine" / "recipe" / "seed-0" / "cell.json").read_text()
    )
    assert stored["settings"]["trainer.callbacks.0.init_args.monitor"] == "val/loss"


def test_loggers_that_are_left_out_are_said(work, capsys):
    work.study()
    assert "Left out" not in capsys.readouterr().out
    csv = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "."}}
    work.study("--trainer.logger+", json.dumps(csv))
    assert (
        "only TensorBoard's logger: lightning.pytorch.loggers.CSVLogger\n"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        ("--seeds", "1,x", "'1,x' is not a list of seeds, whole numbers with commas: 0,1,2"),
        ("--seeds", "0.5", "not a list of seeds"),
        ("--seeds", "1,", "'1,' is not a comma-separated list"),
        ("--cells", "a,,b", "'a,,b' is not a comma-separated list: one,two"),
    ],
)
def test_lists_that_are_none_are_refused_in_words(work, capsys, flag, text, message):
    with pytest.raises(SystemExit) as ended:
        work.study(flag, text)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_failing_run_stops_the_study_with_the_end_of_its_log(work):
    work.failing = {"recipe"}
    message = work.refused(status=1)
    assert "recipe, seed 0 failed" in message
    assert "\n  Epoch 1\n  RuntimeError: out of memory\n" in message
    assert work.fitted == [("recipe", 0)]
    work.failing = set()
    work.study()
    assert work.fitted[1:] == [("recipe", 0), ("margin 0.1", 0)]


def test_keep_going_notes_the_failure_and_runs_the_others(work, capsys):
    work.failing = {"recipe"}
    assert "1 runs failed; see" in work.refused("--keep-going", status=1)
    assert work.fitted == [("recipe", 0), ("margin 0.1", 0)]
    assert [(cell["cell"], cell["failed"]) for cell in work.result()["cells"]] == [
        ("margin 0.1", []),
        ("recipe", [0]),
    ]
    assert "failed: 0" in capsys.readouterr().out


def test_results_are_written_after_each_run(work, monkeypatch):
    def stop_at_second(job: Job, lock: object) -> int:
        if work.fitted:
            raise KeyboardInterrupt
        return work.fake(job, lock)

    monkeypatch.setattr("vsearch.evaluation.studies.processes.fit", stop_at_second)
    before = signal.getsignal(signal.SIGTERM)
    assert "stopped. Run the same command again to continue" in work.refused(status=130)
    assert [cell["seeds"] for cell in work.result()["cells"]] == [[0], []]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_study_that_is_told_to_end_unwinds(work, monkeypatch):
    def terminate(job: Job, lock: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            work.fitted.append((job.cell, job.seed))  # here a real fit ends its process
        return 0

    monkeypatch.setattr("vsearch.evaluation.studies.processes.fit", terminate)
    with pytest.raises(SystemExit) as ended:
        work.study()
    assert ended.value.code == 128 + signal.SIGTERM
    assert work.fitted == [("recipe", 0)]


def test_a_run_that_ends_without_a_bundle_has_failed(work, monkeypatch):
    def nothing(job: Job, lock: object) -> int:
        job.begin()
        job.log.write_text("no epoch was kept\n")
        return 0

    monkeypatch.setattr("vsearch.evaluation.studies.processes.fit", nothing)
    assert "no epoch was kept" in work.refused(status=1)


def test_a_setting_that_a_fit_would_refuse_stops_the_study_before_it_starts(work):
    said = work.refused("--trainer.max_epoch", "3")
    assert "cell 'recipe' are refused" in said
    assert "max_epoch" in said
    work.write(cells={**MARGINS, "typo": [{"model": {"los": 1}}]})
    assert "cell 'typo' are refused" in work.refused()
    assert not work.fitted
    assert not (work.folder / "out").exists()


def test_a_cell_with_another_split_is_refused(work):
    work.write(cells={**MARGINS, "split": [{"data": {"split": {"init_args": {"seed": 1}}}}]})
    assert "data.split.init_args.seed: 0 (recipe), 1 (split)" in work.refused()
    assert not work.fitted


def test_no_config_is_a_usage_error_and_an_unknown_study_lists_those_that_exist(
    capsys, monkeypatch
):
    with pytest.raises(SystemExit) as ended:
        main(["study", "loss"])
    assert ended.value.code == 2
    assert "--config" in capsys.readouterr().err
    monkeypatch.chdir(ROOT)
    said = refusal(capsys, "study", "los", "--config", "configs/triplet.yaml")
    assert re.search("no study los: .*backbone, batches, .*loss", said)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_study_asks_something_and_each_cell_is_other_settings_that_parse(path):
    study = read_study(str(path))
    assert "Decision: " in study.question
    assert "Claim: " in study.question
    assert f"study {study.name} --config" in study.question
    assert study.monitor == "val/map_at_r"
    settings = {cell: fit_of(study, cell, [str(TRIPLET)], [])[1] for cell in study.cells}
    for cell, own in settings.items():
        assert [other for other in study.cells if settings[other] == own] == [cell]
        monitors = [
            callback.get("init_args", {}).get("monitor") for callback in own["trainer"]["callbacks"]
        ]
        assert [name for name in monitors if name] == ["val/map_at_r"] * 2


def test_the_batches_line_for_another_catalog_gives_the_category_cell_its_column(tmp_path):
    text = (ROOT / "configs" / "studies" / "batches.yaml").read_text()
    lines = [
        line.replace("# ", "", 1) if line.startswith("  # category:") else line
        for line in text.splitlines()
    ]
    kept = [
        line for line in lines if not line.startswith("  category:") or "masterCategory" in line
    ]
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text("\n".join(kept))
    shutil.copytree(ROOT / "configs" / "sampler", tmp_path / "sampler")
    study = read_study(str(tmp_path / "studies" / "mine.yaml"))
    settings = composed("category", study.words("category", [str(TRIPLET)], []))
    assert settings["data"]["sampler"]["init_args"] == {
        "column": "masterCategory",
        "categories_per_batch": 2,
    }


def test_the_study_that_the_docs_show_is_one(tmp_path):
    text = (ROOT / "docs" / "experiments.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "mine.yaml").write_text(block)
    shutil.copytree(ROOT / "configs" / "loss", tmp_path / "loss")
    study = read_study(str(folder / "mine.yaml"))
    assert len(study.cells) == 3
    for cell in study.cells:
        composed(cell, study.words(cell, [str(TRIPLET)], []))


def test_only_a_study_hands_on_settings_that_it_does_not_know(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["search", "bundle", "photo.jpg", "--trainer.max_epochs", "3"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --trainer.max_epochs 3" in capsys.readouterr().err


def test_a_broken_cell_is_named(capsys):
    with pytest.raises(StudyError, match="cell 'a' are refused"):
        composed("a", ["--config", "nowhere.yaml"])


@pytest.mark.parametrize("patience", [1, 5])
def test_a_patience_is_the_recipes_callbacks_with_one_number_changed(patience):
    recipe = yaml.safe_load(TRIPLET.read_text())["trainer"]["callbacks"]
    (overlay,) = PATIENCE[f"patience {patience}"]
    callbacks = overlay["trainer"]["callbacks"]
    assert recipe[0]["init_args"].pop("patience") == 3
    assert callbacks[0]["init_args"].pop("patience") == patience
    assert callbacks == recipe
