import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from drawn import drawn
from project import ROOT, Project
from safetensors.torch import load_file
from small_bundle import fitted as fitted_bundle
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import COLOURS

from vsearch.bundle.opening import open_bundle
from vsearch.cli import main as cli
from vsearch.cli.main import main
from vsearch.training.module import MetricLearner

COMMANDS = ("fit", "validate", "test", "predict", "compare", "search", "study", "index")


def test_help_lists_every_command_with_a_line(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for command in COMMANDS:
        assert any(
            line.startswith(f"    {command} ") and len(line.split()) > 3 for line in lines
        ), command


@pytest.mark.parametrize("words", [["index"], ["data", "check"], ["compare"], ["search"]])
def test_help_keeps_paragraphs_and_fits_80_columns(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines()) <= 80
    description = text.partition("\n\n")[2].partition("\npositional arguments:")[0]
    assert "\n\n" in description.strip()


@pytest.mark.parametrize(
    ("epoch", "told"),
    [
        (0, "No epoch finished, so there is nothing to continue."),
        (
            1,
            "Continue it with: python -m vsearch fit --config {run}/config.yaml --ckpt_path {run}",
        ),
    ],
)
def test_ctrl_c_says_where_the_run_lies_and_how_to_go_on(
    tmp_path, monkeypatch, capsys, epoch, told
):
    def stop(module: MetricLearner) -> None:
        if module.current_epoch == epoch:
            raise KeyboardInterrupt

    # Lightning has it ignored once it was caught
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(MetricLearner, "on_train_epoch_start", stop)
    with pytest.raises(SystemExit) as ended:
        Project(tmp_path).run("fit")
    assert ended.value.code == 130
    run = tmp_path / "lightning_logs" / "version_0"
    printed = capsys.readouterr().err
    assert f"vsearch fit: stopped. The run is in {run}." in printed
    assert told.format(run=run) in printed
    assert "Tip:" not in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["serch", "bundle"], "there is no command 'serch'. Did you mean search?"),
        (["xyzzy"], "there is no command 'xyzzy'\n"),
        (["search", "b", "p", "--wheer", "a = b"], "--wheer a = b. Did you mean --where?"),
        (["index", "add", "b", "--tabel", "t.csv"], "--tabel t.csv. Did you mean --table?"),
    ],
)
def test_a_misspelt_word_is_told_what_was_meant(capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_package_that_an_installation_for_serving_lacks_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_run", lambda args: importlib.import_module("nowhere_to_be_found"))
    with pytest.raises(SystemExit) as ended:
        main(["index", "describe", str(tmp_path)])
    assert ended.value.code == 2
    assert "the package nowhere_to_be_found is not installed: `uv sync`" in capsys.readouterr().err


def test_the_version_is_shown(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"vsearch \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_is_quick_and_leaves_heavy_libraries_alone():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", "-m", "vsearch", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()
    }
    assert "vsearch" in imported
    assert not imported & {"torch", "lightning", "torchvision", "faiss", "pandas", "numpy"}
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def unread(*words: str, unbuffered: str = "") -> subprocess.CompletedProcess:
    """Run the real command with an output that nobody reads any more, as `| head -1` leaves it."""
    end, start = os.pipe()
    os.close(end)
    command, environment = (
        [sys.executable, "-m", "vsearch", *words],
        os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    try:
        return subprocess.run(
            command, cwd=ROOT, stdout=start, stderr=subprocess.PIPE, env=environment
        )
    finally:
        os.close(start)


def test_a_reader_that_is_gone_ends_a_command_quietly(tmp_path):
    bundle = str(fitted_bundle(tmp_path / "bundle", n=3))
    for words in (["--help"], ["index", "describe", bundle]):
        ended = unread(*words)
        assert (ended.returncode, ended.stderr) == (0, b""), words
    middle = unread(
        "index", "describe", bundle, unbuffered="1"
    )  # the first print fails, not the end
    assert (middle.returncode, middle.stderr) == (1, b"")


def test_another_pipe_that_breaks_is_told(monkeypatch, tmp_path):
    def broken(args: object) -> None:
        raise BrokenPipeError("a worker's")

    monkeypatch.setattr(cli.import_module("vsearch.cli.commands.search"), "run", broken)
    with pytest.raises(BrokenPipeError, match="a worker's"):
        main(["search", str(tmp_path), "photo.png"])


@pytest.mark.parametrize("words", [["frobnicate"], [], ["--frobnicate"], ["search"]])
def test_what_it_does_not_know_ends_with_usage_and_status_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: vsearch" in capsys.readouterr().err


def test_an_unknown_setting_is_refused_before_anything_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(
            ["fit", "--config", str(ROOT / "configs" / "triplet.yaml"), "--trainer.frobnicate", "1"]
        )
    assert ended.value.code == 2
    assert "frobnicate" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def fitted(project) -> Path:
    with drawn():
        return project.run("fit")


def events(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run)).Reload()


def scalars(run: Path) -> dict[str, list[float]]:
    found = events(run)
    return {
        name: [point.value for point in found.Scalars(name)] for name in found.Tags()["scalars"]
    }


def manifest(run: Path) -> dict[str, Any]:
    return json.loads((run / "bundle" / "manifest.json").read_text())


def test_a_fit_leaves_a_whole_run(fitted):
    names = {str(path.relative_to(fitted)) for path in fitted.rglob("*")}
    assert {"config.yaml", "split.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
    assert {"bundle/manifest.json", "bundle/report.md", "bundle/results.png"} <= names
    assert len(pd.read_csv(fitted / "split.csv")) == 80
    settings = yaml.safe_load((fitted / "config.yaml").read_text())
    assert settings["model"]["backbone"]["class_path"] == "tiny.TinyBackbone"
    assert settings["data"]["photos_per_class"] == 2


def test_tensorboard_shows_curves_config_and_results(fitted):
    values, tags = scalars(fitted), events(fitted).Tags()
    for name in ("train/loss_epoch", "val/loss", "val/precision_at_1"):
        assert len(values[name]) == 2, name
    assert len(values["test/precision_at_1"]) == 1
    assert len(set(values["train/loss_step"])) > 2
    assert {"config/text_summary", "report/text_summary"} <= set(tags["tensors"])
    assert tags["images"] == ["test/results"]
    (config,) = events(fitted).Tensors("config/text_summary")
    assert b"tiny.TinyBackbone" in config.tensor_proto.string_val[0]


def test_the_bundle_is_of_the_best_epoch_and_last_is_the_last(fitted):
    checkpoints = {
        name: torch.load(fitted / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("best", "last")
    }
    losses = scalars(fitted)["val/loss"]
    assert checkpoints["best"]["epoch"] == losses.index(min(losses))
    assert (checkpoints["last"]["epoch"], checkpoints["last"]["global_step"]) == (1, 16)
    stored = load_file(fitted / "bundle" / "model.safetensors")
    for name, value in stored.items():
        assert torch.equal(value, checkpoints["best"]["state_dict"][f"embedder.{name}"]), name


def test_the_bundle_answers_searches(fitted, project, capsys):
    photo = project.folder / "colours" / "red-3.png"
    main(["search", str(fitted / "bundle"), str(photo), "-k", "3", "--json"])
    (answer,) = json.loads(capsys.readouterr().out)
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
    assert {hit["label"] for hit in answer["hits"]} <= set(COLOURS)
    assert "shelf" in answer["hits"][0]["metadata"]


def test_test_and_validate_score_the_best_checkpoint_again(fitted, project, capsys):
    best = str(fitted / "checkpoints" / "best.ckpt")
    epoch = manifest(fitted)["model"]["epoch"]
    values = scalars(fitted)
    tested = scalars(project.run("test", "--ckpt_path", best))
    shown = f"precision@1 {tested['test/precision_at_1'][-1]:.3f} ["
    assert shown in re.sub(r" +", " ", capsys.readouterr().out)
    validated = scalars(project.run("validate", "--ckpt_path", best))
    for name in ("test/precision_at_1", "test/map_at_r", "test/ndcg_at_10_macro"):
        assert tested[name] == pytest.approx(values[name], abs=1e-5), name
    for name in ("val/loss", "val/precision_at_1", "val/r_precision"):
        assert validated[name] == pytest.approx([values[name][epoch]], abs=1e-5), name


def test_predict_writes_the_whole_catalog_as_the_bundle_embeds_it(fitted, project):
    run = project.run("predict", "--ckpt_path", str(fitted / "checkpoints" / "best.ckpt"))
    table = pd.read_parquet(run / "embeddings.parquet").set_index("id")
    assert table.index.tolist() == [
        f"{label}-{number}" for label in COLOURS for number in range(20)
    ]
    assert [id.split("-")[0] for id in table.index] == table["label"].tolist()
    vectors = np.stack(table["embedding"].to_numpy())
    assert (vectors.dtype, vectors.shape) == (np.float32, (80, 8))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    opened = open_bundle(fitted / "bundle")
    predicted = np.stack(table.loc[opened.items["id"].to_pylist(), "embedding"].to_numpy())
    assert np.allclose(predicted, opened.embed(opened.items["path"].to_pylist()), atol=1e-5)
    scores, _ = opened.index.search(predicted, 1)
    assert np.allclose(scores, 1, atol=1e-5)
    assert not list(run.glob("*.tmp"))


def test_a_fit_goes_on_from_its_last_checkpoint(fitted, project):
    last = str(fitted / "checkpoints" / "last.ckpt")
    run = project.run("fit", "--ckpt_path", last, "--trainer.max_epochs", "3")
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (saved["epoch"], saved["global_step"]) == (2, 24)
    assert len(scalars(run)["val/loss"]) == 1
    assert (
        open_bundle(run / "bundle").manifest["protocol"]["parts"]
        == manifest(fitted)["protocol"]["parts"]
    )


def test_a_run_repeats_from_its_own_config(fitted, project):
    folder = project.folder / "again"
    main(
        [
            "fit",
            "--config",
            str(fitted / "config.yaml"),
            "--trainer.logger.init_args.save_dir",
            str(folder),
        ]
    )
    again = folder / "lightning_logs" / "version_0"
    assert scalars(again)["train/loss_step"] == scalars(fitted)["train/loss_step"]
    assert manifest(again)["fingerprint"] == manifest(fitted)["fingerprint"]
