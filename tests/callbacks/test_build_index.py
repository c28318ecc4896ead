import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TinyBackbone
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file
from test_module import data_of, learner, trainer

from callbacks.build_index import BuildIndex
from vsearch.bundle import fingerprint, open_bundle
from vsearch.catalogs.base import Catalog
from vsearch.evaluate import Embedded, score
from vsearch.images import Preprocessing
from vsearch.indexes.flat import FlatIndex
from vsearch.metrics import means
from vsearch.reports.summary import library_versions
from vsearch.splits import LabelDisjointSplit, StratifiedSplit


class Run:
    """A short fit with BuildIndex whose best epoch, by order, is the one with the highest val/loss."""

    def __init__(
        self, catalog: Catalog, folder: Path, epochs: int = 3, callback: BuildIndex | None = None, **data
    ) -> None:
        self.folder, self.module, self.data = folder, learner(), data_of(catalog, **data)
        self.initial = copy.deepcopy(self.module.backbone)
        best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/loss", mode="max")
        last = ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False)
        self.trainer = trainer(folder, epochs, callbacks=[best, last, callback or BuildIndex()])
        self.trainer.fit(self.module, self.data)
        self.bundle = folder / "bundle"

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        saved = torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        return {key.removeprefix("backbone."): value for key, value in saved.items() if key.startswith("backbone.")}

    def json(self, name: str) -> dict[str, Any]:
        return json.loads((self.bundle / name).read_text())

    def values(self, which: str) -> dict[str, float]:
        return {name: kinds["micro"]["value"] for name, kinds in self.json("report.json")["metrics"][which].items()}

    def scores_of(self, backbone: TinyBackbone) -> dict[str, float]:
        """What test photos find in the gallery: embedded at once, searched exactly."""
        sides = []
        for items in (self.data.queries("test"), self.data.gallery("test")):
            dataset = self.data.loader(items).dataset
            with torch.inference_mode():
                features = backbone.eval()(torch.stack([photo for photo, _, _ in dataset]))
            vectors = torch.nn.functional.normalize(features, dim=1).numpy()
            sides.append(Embedded(vectors, items["label_code"].to_numpy(), items.index.to_numpy()))
        index = FlatIndex()
        index.build(sides[1].embeddings)
        found = score(index, *sides)
        return {name: kinds["micro"] for name, kinds in means(found.model, found.labels).items()}


@pytest.fixture
def run(colours, tmp_path) -> Run:
    return Run(colours, tmp_path)


def test_the_bundle_holds_the_best_epoch_and_not_the_last(run):
    stored, best, last = load_file(run.bundle / "model.safetensors"), run.weights("best"), run.weights("last")
    assert set(stored) == set(best)
    assert all(torch.equal(stored[name], best[name]) for name in best)
    assert any(not torch.equal(stored[name], last[name]) for name in last)
    saved = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert run.json("report.json")["model"]["epoch"] == saved["epoch"] < 2


def test_the_index_holds_the_gallery_in_the_order_of_the_items(run):
    opened = open_bundle(run.bundle)
    gallery = run.data.gallery("test")
    assert opened.items["id"].tolist() == gallery["id"].tolist()
    assert set(opened.items["split"]) == {"train"}
    assert list(opened.items.columns) == ["id", "path", "label", "shelf", "split"]
    for item, hits in zip(gallery["id"], opened.search(gallery["path"].tolist(), 3), strict=True):
        assert item in hits.loc[hits["score"] > 1 - 1e-4, "id"].tolist()


def test_the_numbers_are_those_of_the_best_epoch_and_of_the_initial_weights(run):
    best = copy.deepcopy(run.initial)
    best.load_state_dict(run.weights("best"))
    assert run.values("trained") == pytest.approx(run.scores_of(best), abs=1e-6)
    assert run.values("untrained") == pytest.approx(run.scores_of(run.initial), abs=1e-6)
    assert run.values("trained") != pytest.approx(run.values("untrained"), abs=1e-6)


def test_the_module_is_left_with_the_best_weights(run):
    for name, value in run.module.backbone.state_dict().items():
        assert torch.equal(value, run.weights("best")[name]), name


def test_the_numbers_are_those_of_the_test_command(run):
    results = run.trainer.test(run.module, run.data, ckpt_path=run.folder / "checkpoints" / "best.ckpt", verbose=False)
    tested = {name.removeprefix("test/"): value for name, value in results[0].items() if not name.endswith("_macro")}
    assert run.values("trained") == pytest.approx(tested, abs=1e-6)


def test_the_manifest_says_what_the_bundle_is_and_how_good(run):
    manifest = run.json("manifest.json")
    preprocessing = Preprocessing(**manifest["preprocessing"])
    assert manifest["fingerprint"] == fingerprint(manifest["sha256"]["model.safetensors"], preprocessing, 8)
    protocol = manifest["protocol"]
    assert protocol["catalog"] == "ColourCatalog"
    assert (protocol["items"], protocol["labels"], protocol["parts"]) == (80, 4, {"train": 48, "val": 16, "test": 16})
    assert (protocol["queries"], protocol["gallery"], protocol["synthetic"]) == (16, 48, False)
    assert manifest["model"]["libraries"] == library_versions()
    index = manifest["index"]
    assert (index["spec"], index["recall_at_10"]) == ("Flat", 1)
    assert index["bytes"] == (run.bundle / "index.faiss").stat().st_size
    assert 0 < index["latency"]["single_p50_ms"] <= index["latency"]["single_p99_ms"]
    report = run.json("report.json")
    assert {name: report[name] for name in ("protocol", "model")} == {
        name: manifest[name] for name in ("protocol", "model")
    }


def test_the_index_that_was_asked_for_is_built(colours, tmp_path):
    class Other(FlatIndex):
        spec = "Other"

    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(index := Other()))
    assert len(index) == 48
    assert made.json("manifest.json")["index"]["spec"] == "Other"


def test_chance_is_the_share_of_the_label_in_the_gallery(run):
    chance = run.json("report.json")["metrics"]["chance"]
    assert chance["precision_at_1"]["micro"] == pytest.approx(12 / 48)


def test_the_fit_ends_with_what_to_do_next(colours, tmp_path, capsys):
    made = Run(colours, tmp_path, epochs=1)
    assert f"python -m vsearch search {made.bundle} PHOTO" in capsys.readouterr().out


def test_without_a_baseline_nothing_is_said_of_the_untrained(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(baseline=False))
    assert set(made.json("report.json")["metrics"]) == {"trained", "chance"}


def test_unseen_labels_are_indexed_among_themselves(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, split=LabelDisjointSplit(0.5, 0.5, 0))
    opened = open_bundle(made.bundle)
    assert set(opened.items["split"]) == {"val"}
    assert made.json("manifest.json")["protocol"]["queries"] == len(opened.items) == 40


def test_without_a_test_part_val_is_measured(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, split=StratifiedSplit(0.6, 0.4, 0))
    protocol = made.json("manifest.json")["protocol"]
    assert (protocol["queries"], protocol["gallery"]) == (32, 48)


@pytest.mark.parametrize(
    "arguments", [{"enable_checkpointing": False, "callbacks": [BuildIndex()]}, {"fast_dev_run": True}]
)
def test_without_a_checkpoint_there_is_no_bundle(colours, tmp_path, arguments):
    run = trainer(tmp_path / "run", 1, **{"callbacks": [BuildIndex()], **arguments})
    if "enable_checkpointing" in arguments:
        assert run.checkpoint_callback is None
    run.fit(learner(), data_of(colours))
    assert not list(tmp_path.rglob("bundle"))


def test_the_bundles_own_embeddings_are_those_in_the_index(run):
    opened = open_bundle(run.bundle)
    paths = opened.items["path"].tolist()
    scores, positions = opened.index.search(opened.embed(paths), 1)
    assert np.allclose(scores[:, 0], 1, atol=1e-5)
    assert pd.Series(positions[:, 0]).between(0, 47).all()
