import logging
import shutil

import pytest
import torch
from test_cli import Project

from vsearch.bundle import open_bundle


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def best(run) -> dict:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    return next(state for name, state in saved.items() if "ModelCheckpoint" in name and "val/loss" in name)


def test_an_interrupted_fit_goes_on_in_its_own_folder_and_remembers_its_best_epoch(project):
    run = project.run("fit", "--trainer.max_epochs", "3")
    before = best(run)
    shutil.rmtree(run / "bundle")  # as if it had been stopped before the end
    again = project.run("fit", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "4")
    assert again == run
    after = best(run)
    assert after["best_model_score"] <= before["best_model_score"]
    assert after["dirpath"] == before["dirpath"]
    assert open_bundle(run / "bundle")


def test_a_finished_run_is_left_alone(project):
    run = project.run("fit", "--trainer.max_epochs", "1")
    fingerprint = open_bundle(run / "bundle").manifest["fingerprint"]
    longer = project.run("fit", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.max_epochs", "2")
    assert longer.name == "version_1"
    assert open_bundle(run / "bundle").manifest["fingerprint"] == fingerprint
    assert open_bundle(longer / "bundle").manifest["model"]["epoch"] == 1


def test_a_folder_that_was_asked_for_is_used(project):
    run = project.run("fit", "--trainer.max_epochs", "1")
    shutil.rmtree(run / "bundle")
    words = ["--ckpt_path", str(run / "checkpoints" / "last.ckpt"), "--trainer.logger.init_args.version", "7"]
    assert project.run("fit", *words, "--trainer.max_epochs", "2").name == "version_7"


def test_a_bundle_in_the_way_stops_the_fit_before_training(project):
    run = project.run("fit", "--trainer.max_epochs", "1")
    with pytest.raises(SystemExit, match="exists already"):
        project.run("fit", "--trainer.max_epochs", "1", "--trainer.logger.init_args.version", run.name.split("_")[1])


def test_an_error_of_the_users_is_one_line(project):
    with pytest.raises(SystemExit, match=r"vsearch: .*no items|vsearch: .*no such"):
        project.run(
            "fit", "--data.catalog", "vsearch.catalogs.table.TableCatalog", "--data.catalog.init_args.table", "gone.csv"
        )


def test_scoring_without_a_checkpoint_warns(project):
    with pytest.warns(UserWarning, match="without --ckpt_path"):
        project.run("validate")


def test_what_the_catalog_left_out_is_logged_where_people_see_it(project, caplog, tmp_path):
    table = tmp_path / "items.csv"
    rows = [f"{n},colours/{label}-{n}.png,{label}" for label in ("red", "blue") for n in range(40)]
    rows = [row.replace(f"{n},", f"{i},", 1) for i, (n, row) in enumerate((r.split(",")[0], r) for r in rows)]
    table.write_text("id,path,label\n" + "\n".join(rows) + "\n")
    project.run("fit", "--trainer.max_epochs", "1")  # draws the photos: 20 of each label
    words = ["--data.catalog", "vsearch.catalogs.table.TableCatalog", "--data.catalog.init_args.table", str(table)]
    project.run("fit", "--trainer.max_epochs", "1", *words, "--data.catalog.init_args.missing_photos", "drop")
    assert "'missing_photos': 40" in caplog.text
    assert logging.getLogger("vsearch").handlers
