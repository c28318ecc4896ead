import io
import json
import logging
import re
import shutil
import sys

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from project import Project

from vsearch.bundle.opening import open_bundle
from vsearch.cli.trainer import _show_log
from vsearch.training.final_evaluator import FinalEvaluator


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def best(run) -> dict:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    return next(
        state for name, state in saved.items() if "ModelCheckpoint" in name and "val/loss" in name
    )


def test_an_interrupted_fit_goes_on_in_its_own_folder_and_remembers_its_best_epoch(project):
    run = project.run("fit", "--trainer.max_epochs", "3")
    assert not list(run.rglob(".making-*"))
    before = best(run)
    shutil.rmtree(run / "bundle")  # as if it had been stopped before the end
    again = project.run(
        "fit", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "4"
    )
    assert again == run
    after = best(run)
    assert after["best_model_score"] <= before["best_model_score"]
    assert after["dirpath"] == before["dirpath"]
    assert open_bundle(run / "bundle")


def test_a_resumed_runs_config_can_be_used_again(project):
    run = project.run("fit", "--trainer.max_epochs", "1")
    shutil.rmtree(run / "bundle")
    last = str(run / "checkpoints" / "last.ckpt")
    assert project.run("fit", "--ckpt_path", last, "--trainer.max_epochs", "2") == run
    for command in ("test", "predict"):
        again = project.run(
            command, "--config", str(run / "config.yaml"), "--ckpt_path", last, configs=False
        )
        assert again != run
    assert open_bundle(
        project.run("fit", "--config", str(run / "config.yaml"), configs=False) / "bundle"
    )


def test_a_fit_with_several_loggers_goes_on_in_its_own_folder(project):
    words = [
        "--trainer.logger+",
        "lightning.pytorch.loggers.CSVLogger",
        "--trainer.logger.init_args.save_dir",
        str(project.folder / "csv"),
    ]
    run = project.run("fit", "--trainer.max_epochs", "1", *words)
    shutil.rmtree(run / "bundle")
    last = str(run / "checkpoints" / "last.ckpt")
    assert project.run("fit", "--ckpt_path", last, "--trainer.max_epochs", "2", *words) == run


def test_training_that_diverges_says_so(project, capsys):
    with pytest.raises(SystemExit, match="1"):
        project.run("fit", "--model.optimizer.init_args.lr", "1e20", "--model.warmup_steps", "0")
    assert re.search(
        "vsearch fit: Training diverged in epoch 0.*`model.optimizer.init_args.lr`",
        capsys.readouterr().err,
    )


def test_a_finished_run_is_left_alone(project):
    run = project.run("fit", "--trainer.max_epochs", "1")
    fingerprint = open_bundle(run / "bundle").manifest["fingerprint"]
    longer = project.run(
        "fit", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "2"
    )
    assert longer.name == "version_1"
    assert open_bundle(run / "bundle").manifest["fingerprint"] == fingerprint
    assert open_bundle(longer / "bundle").manifest["model"]["epoch"] == 1


def test_a_folder_that_was_asked_for_is_used(project):
    run = project.run("fit", "--trainer.max_epochs", "1")
    shutil.rmtree(run / "bundle")
    words = [
        "--ckpt_path",
        str(run / "checkpoints" / "last.ckpt"),
        "--trainer.logger.init_args.version",
        "7",
    ]
    assert project.run("fit", *words, "--trainer.max_epochs", "2").name == "version_7"


def test_a_bundle_in_the_way_stops_the_fit_before_training(project, capsys):
    run = project.run("fit", "--trainer.max_epochs", "1")
    with pytest.raises(SystemExit, match="2"):
        project.run(
            "fit",
            "--trainer.max_epochs",
            "1",
            "--trainer.logger.init_args.version",
            run.name.split("_")[1],
        )
    assert "exists already" in capsys.readouterr().err.splitlines()[-1]


def test_an_error_of_the_users_is_one_line(project, capsys):
    words = [
        "--data.catalog",
        "vsearch.data.catalogs.table.TableCatalog",
        "--data.catalog.init_args.table",
        "gone.csv",
    ]
    with pytest.raises(SystemExit, match="2"):
        project.run("fit", *words)
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "vsearch fit: data.catalog: gone.csv: no such file."
    )


def test_the_log_goes_to_what_stderr_is_by_then(monkeypatch):
    monkeypatch.setattr(logging.getLogger("vsearch"), "handlers", [])
    _show_log()
    for _ in range(2):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        logging.getLogger("vsearch.training.datamodule").info("read")
        assert sys.stderr.getvalue() == "read\n"


def test_scoring_without_a_checkpoint_warns(project):
    with pytest.warns(UserWarning, match="without --ckpt_path"):
        project.run("validate")


def test_what_the_catalog_left_out_is_logged_where_people_see_it(project, caplog, tmp_path):
    table = tmp_path / "items.csv"
    rows = [f"{n},colours/{label}-{n}.png,{label}" for label in ("red", "blue") for n in range(40)]
    rows = [
        row.replace(f"{n},", f"{i},", 1)
        for i, (n, row) in enumerate((r.split(",")[0], r) for r in rows)
    ]
    table.write_text("id,path,label\n" + "\n".join(rows) + "\n")
    project.run("fit", "--trainer.max_epochs", "1")  # draws the photos: 20 of each label
    words = [
        "--data.catalog",
        "vsearch.data.catalogs.table.TableCatalog",
        "--data.catalog.init_args.table",
        str(table),
    ]
    words += ["--data.classes_per_batch", "2", "--data.axes", "[]"]
    project.run(
        "fit",
        "--trainer.max_epochs",
        "1",
        *words,
        "--data.catalog.init_args.missing_photos",
        "drop",
    )
    assert "'missing_photos': 40" in caplog.text
    assert logging.getLogger("vsearch").handlers


@pytest.mark.parametrize(
    ("head", "dim"), [([], 8), (["--model.head", "vsearch.models.heads.linear.LinearHead"], 5)]
)
def test_a_losss_sizes_are_filled_in(project, head, dim):
    words = [
        "--model.loss",
        "pytorch_metric_learning.losses.ArcFaceLoss",
        "--model.loss.init_args.margin",
        "20",
    ]
    words += [
        *head,
        *(["--model.head.init_args.dim", "5"] if head else []),
        "--model.miner",
        "null",
    ]
    run = project.run("fit", "--trainer.max_epochs", "1", *words)
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["state_dict"]["loss.W"].shape == (dim, 4)
    assert open_bundle(run / "bundle").runtime.dim == dim


def test_axes_are_trained_on_and_the_config_can_be_used_again(project, tmp_path):
    axes = {"shelf": {"weight": 0.5}}
    (tmp_path / "axes.yaml").write_text(yaml.safe_dump({"model": {"axis_losses": axes}}))
    words = ["--trainer.max_epochs", "1", "--data.axes", "[]"]
    run = project.run("fit", "--config", str(tmp_path / "axes.yaml"), *words)
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["state_dict"]["axis_losses.losses.0.W"].shape == (8, 3)
    report = json.loads((run / "bundle" / "report.json").read_text())
    assert "label_and_shelf_at_10" in report["axes"]["shelf"]["metrics"]
    settings = yaml.safe_load((run / "config.yaml").read_text())["model"]
    assert settings["axis_losses"]["shelf"]["weight"] == 0.5
    assert "axis_codes" not in settings

    again = project.run("fit", "--config", str(run / "config.yaml"), configs=False)
    found = torch.load(again / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    for name, value in saved["state_dict"].items():
        assert torch.equal(value, found[name]), name


def test_a_losss_size_by_hand_is_said_to_be_unused(project):
    words = [
        "--model.loss",
        "pytorch_metric_learning.losses.ArcFaceLoss",
        "--model.loss.init_args.margin",
        "20",
    ]
    words += [
        "--model.miner",
        "null",
        "--model.loss.init_args.num_classes",
        "3",
        "--trainer.max_epochs",
        "1",
    ]
    with pytest.warns(
        UserWarning,
        match=r"^model\.loss\.init_args\.num_classes: 3 isn't used; vsearch sets it to 4\.$",
    ):
        project.run("fit", *words, "--model.loss.init_args.embedding_size", "8")


def test_the_runs_index_is_built(project):
    words = ["--index", "vsearch.indexes.faiss.FaissIndex", "--index.init_args.factory", "HNSW8"]
    run = project.run("fit", "--trainer.max_epochs", "1", *words)
    assert open_bundle(run / "bundle").manifest["index"]["spec"] == "HNSW8"
    settings = yaml.safe_load((run / "config.yaml").read_text())["index"]
    assert settings["init_args"]["factory"] == "HNSW8"


def test_an_index_among_the_callbacks_goes_before_the_runs(project):
    monitored = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "val/loss"},
    }
    own = {"class_path": "vsearch.indexes.faiss.FaissIndex", "init_args": {"factory": "SQ8"}}
    callbacks = [
        monitored,
        {"class_path": "callbacks.build_index.BuildIndex", "init_args": {"index": own}},
    ]
    run = project.run(
        "fit", "--trainer.max_epochs", "1", "--trainer.callbacks", json.dumps(callbacks)
    )
    assert open_bundle(run / "bundle").manifest["index"]["spec"] == "SQ8"


def test_the_runs_adaptation_is_in_the_bundle(project):
    words = ["--adaptation", "vsearch.models.adaptations.lda.LDA"]
    made = open_bundle(project.run("fit", "--trainer.max_epochs", "1", *words) / "bundle")
    n_labels = len(set(made.items["label"].to_pylist()))
    assert made.manifest["dim"] == n_labels - 1


def test_an_adaptation_among_the_callbacks_goes_before_the_runs(project, monkeypatch):
    used = []
    monkeypatch.setattr(FinalEvaluator, "adapt", lambda self, _, lda: used.append(lda.shrinkage))
    lda = "vsearch.models.adaptations.lda.LDA"
    own = {"class_path": lda, "init_args": {"shrinkage": 0.9}}
    build = {"class_path": "callbacks.build_index.BuildIndex", "init_args": {"adaptation": own}}
    keep = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"}
    words = ["--adaptation", lda, "--trainer.callbacks", json.dumps([keep, build])]
    project.run("fit", "--trainer.max_epochs", "1", *words)
    assert used == [0.9]


def test_no_index_at_all_is_exact(project):
    run = project.run("fit", "--trainer.max_epochs", "1", "--index", "null")
    assert (
        open_bundle(run / "bundle").manifest["index"]["class_path"]
        == "vsearch.indexes.exact.ExactIndex"
    )


def test_an_index_that_is_misspelt_is_named(project, capsys):
    with pytest.raises(SystemExit, match="2"):
        project.run(
            "fit",
            "--index",
            "vsearch.indexes.faiss.FaissIndex",
            "--index.init_args.factry",
            "HNSW8",
        )
    assert "vsearch fit: index" in (line := capsys.readouterr().err.splitlines()[-1])
    assert "factry" in line


def test_checkpoints_are_written_whole_unless_the_config_says_how(project, monkeypatch):
    used = []

    def note(trainer: Trainer, *_: object, **__: object) -> None:
        used.append(type(trainer.strategy.checkpoint_io).__name__)
        (project.folder / "lightning_logs" / "version_0").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(Trainer, "fit", note)
    project.run("fit")
    project.run("fit", "--trainer.plugins", "lightning.pytorch.plugins.io.AsyncCheckpointIO")
    assert used == ["WholeCheckpoints", "AsyncCheckpointIO"]


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(9000), b"version https://git-lfs"])
@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_damaged_checkpoint_is_named(project, capsys, content, command):
    path = project.folder / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        project.run(command, "--ckpt_path", str(path))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{path} ({len(content):,} bytes) is damaged" in said
    assert "Traceback" not in said
