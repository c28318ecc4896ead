import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vsearch.evaluation.studies.fit_settings import LOGGER, unused_loggers
from vsearch.evaluation.studies.jobs import Job, done, plan
from vsearch.evaluation.studies.study import Study, StudyError

SETTINGS: dict[str, Any] = {
    "seed_everything": 0,
    "model": {"loss": {"margin": 0.3}, "freeze": ["layer1", "layer2"], "miner": None, "none": []},
    "data": {"catalog": {"folder": "photos"}, "split": {"seed": 0}, "seed": 0, "num_workers": 2},
    "trainer": {"logger": {"init_args": {"save_dir": "."}}, "max_epochs": 5},
    "ckpt_path": None,
}
STUDY = Study("mine", "", "plain", (4, 2), "map_at_r", {"plain": [], "margin 0.1": []})


def changed(**model: Any) -> dict[str, Any]:
    return {**SETTINGS, "model": {**SETTINGS["model"], **model}}


def planned(folder: Path, study: Study = STUDY, **settings: Any) -> list[Job]:
    words = {cell: ["--config", cell] for cell in study.cells}
    pairs = [(cell, seed) for seed in study.seeds for cell in study.cells]
    return plan(
        study, pairs, words, {cell: settings.get(cell, SETTINGS) for cell in study.cells}, folder
    )


@pytest.fixture
def job(tmp_path) -> Job:
    return planned(tmp_path / "mine")[0]


def fake(job: Job, version: int, *files: str) -> Path:
    """A run with these files, empty."""
    run = job.folder / f"version_{version}"
    for name in files:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    return run


WHOLE = ("bundle/manifest.json", "bundle/queries.parquet")
LAST = "checkpoints/last.ckpt"


def test_each_pair_of_cell_and_seed_is_a_job_in_a_folder_of_its_own(tmp_path):
    jobs = planned(tmp_path)
    assert [(job.cell, job.seed) for job in jobs] == [
        ("plain", 4),
        ("margin 0.1", 4),
        ("plain", 2),
        ("margin 0.1", 2),
    ]
    assert [job.folder.relative_to(tmp_path) for job in jobs[:2]] == [
        Path("plain/seed-4"),
        Path("margin-0.1/seed-4"),
    ]


def test_a_whole_run_in_the_folder_counts_whatever_the_study_asks_for_now(tmp_path):
    folder = tmp_path / "mine"
    for job in planned(folder):
        fake(job, 0, *WHOLE if job.seed == 4 else [LAST])
    (folder / "plain" / "seed-x").mkdir()
    later = replace(STUDY, seeds=(7,), cells={"margin 0.1": [], "new": []})
    assert done(later, folder) == [("margin 0.1", 4)]
    assert done(STUDY, folder) == [("margin 0.1", 4), ("plain", 4)]
    assert done(STUDY, tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("logger", "unused"),
    [
        (None, set()),
        (True, set()),
        ({"class_path": LOGGER, "init_args": {}}, set()),
        (
            [{"class_path": LOGGER}, {"class_path": "lightning.pytorch.loggers.WandbLogger"}],
            {"WandbLogger"},
        ),
        ({"class_path": "lightning.pytorch.loggers.CSVLogger"}, {"CSVLogger"}),
    ],
)
def test_loggers_that_a_study_replaces_are_known(logger, unused):
    assert {
        name.rpartition(".")[2] for name in unused_loggers({"trainer": {"logger": logger}})
    } == unused


def test_a_job_seeds_weights_and_batches_but_not_the_split_and_logs_to_its_folder(job):
    options = dict(zip(job.words[::2], job.words[1::2], strict=True))
    assert job.words[:2] == ["--config", "plain"]
    assert (options["--seed_everything"], options["--data.seed"]) == ("4", "4")
    assert not [word for word in job.words if "split" in word]
    place = json.loads(options["--trainer.logger"])["init_args"]
    assert Path(place["save_dir"]) / place["name"] == job.folder


def test_settings_are_flat_with_the_jobs_seeds_and_without_those_that_change_nothing(job):
    assert job.settings == {
        "seed_everything": 4,
        "model.loss.margin": 0.3,
        "model.freeze.0": "layer1",
        "model.freeze.1": "layer2",
        "model.miner": None,
        "model.none": [],
        "data.catalog.folder": "photos",
        "data.split.seed": 0,
        "data.seed": 4,
        "trainer.max_epochs": 5,
    }


def test_a_cell_with_other_queries_is_refused(tmp_path):
    other = {**SETTINGS, "data": {**SETTINGS["data"], "split": {"seed": 1}}}
    with pytest.raises(
        StudyError, match=r"same queries.*data\.split\.seed: 0 \(plain\), 1 \(margin 0\.1\)"
    ):
        planned(tmp_path, **{"margin 0.1": other})


def test_without_anything_a_job_is_new(job):
    job.check()
    assert (job.finished(), job.checkpoint()) == (None, None)
    fake(job, 0, "config.yaml", "checkpoints/best.ckpt")
    job.check()
    assert (job.finished(), job.checkpoint()) == (None, None)


@pytest.mark.parametrize("missing", WHOLE)
def test_half_a_bundle_is_none(job, missing):
    fake(job, 0, *(name for name in WHOLE if name != missing))
    assert job.finished() is None


def test_the_newest_run_counts_by_number(job):
    fake(job, 9, *WHOLE, LAST)
    ten = fake(job, 10, *WHOLE)
    fake(job, 11, LAST)
    (job.folder / "version_x").mkdir()
    assert job.finished() == ten
    assert job.checkpoint() == job.folder / "version_11" / LAST


@pytest.mark.parametrize("files", [WHOLE, [LAST]], ids=["done", "interrupted"])
def test_a_run_with_these_settings_is_gone_on_with(job, files):
    job.begin()
    fake(job, 0, *files)
    job.check()


@pytest.mark.parametrize("files", [WHOLE, [LAST]], ids=["done", "interrupted"])
def test_a_run_with_other_settings_is_refused_and_says_which(tmp_path, job, files):
    job.begin()
    fake(job, 0, *files)
    other = planned(
        tmp_path / "mine", plain=changed(loss={"margin": 0.5, "swap": True}, freeze=["layer1"])
    )[0]
    with pytest.raises(StudyError) as refused:
        other.check()
    text = str(refused.value)
    assert "model.loss.margin: 0.3 (stored), 0.5 (asked for now)" in text
    assert "model.loss.swap: not set (stored), true (asked for now)" in text
    assert 'model.freeze.1: "layer2" (stored), not set (asked for now)' in text
    assert "model.miner" not in text
    assert f"Choose another --out, or delete {job.folder}." in text


def test_only_the_first_changes_are_listed(tmp_path, job):
    job.begin()
    fake(job, 0, LAST)
    other = planned(tmp_path / "mine", plain=changed(loss={f"a{i}": i for i in range(8)}))[0]
    with pytest.raises(StudyError, match="and 4 more"):
        other.check()


def test_a_change_is_no_matter_where_nothing_was_begun(tmp_path, job):
    job.begin()
    other = planned(tmp_path / "mine", plain=changed(miner="hard"))[0]
    other.check()
    other.begin()
    assert json.loads((job.folder / "cell.json").read_text())["settings"]["model.miner"] == "hard"


@pytest.mark.parametrize("content", [None, "{", "[]", '{"cell": "plain"}'])
def test_a_run_of_unknown_settings_is_refused(job, content):
    fake(job, 0, LAST)
    if content is not None:
        (job.folder / "cell.json").write_text(content)
    with pytest.raises(StudyError, match=r"no cell\.json with its settings"):
        job.check()
