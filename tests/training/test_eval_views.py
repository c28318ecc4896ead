import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_module import data_of, learner, trainer
from tiny import ChainBackbone, ColourCatalog

from callbacks.build_index import BuildIndex
from vsearch.bundle.opening import open_bundle
from vsearch.data.photos import read_square
from vsearch.data.views import Flip
from vsearch.evaluation.run_report import RunReport
from vsearch.training.module import MetricLearner
from vsearch.training.trunk.cache import TrunkCache


def fit(colours: ColourCatalog, folder: Path, **data: Any) -> MetricLearner:
    # BatchNorm's statistics alone are learnt: that is enough, and finds less than everything
    module = learner(optimizer=lambda parameters: torch.optim.SGD(parameters, 0.0))
    torch.manual_seed(0)
    module.embedder.backbone = ChainBackbone()
    best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/loss")
    run = trainer(folder, 1, callbacks=[best, BuildIndex(export=False)])
    run.fit(module, data_of(colours, **data))
    module.logged = {name: float(value) for name, value in run.logged_metrics.items()}
    return module


def report(folder: Path) -> RunReport:
    return RunReport.from_json(json.loads((folder / "bundle" / "report.json").read_text()))


def vectors(folder: Path) -> np.ndarray:
    index = open_bundle(folder / "bundle").index
    return index.vectors(np.arange(len(index)))


@pytest.fixture
def flipped(colours, tmp_path) -> MetricLearner:
    return fit(colours, tmp_path / "flipped", eval_views=[Flip()])


def test_the_gallery_is_embedded_with_all_views_and_validation_with_one(colours, tmp_path, flipped):
    plain = fit(colours, tmp_path / "plain")
    assert flipped.logged == plain.logged

    opened = open_bundle(tmp_path / "flipped" / "bundle")
    alone = open_bundle(tmp_path / "plain" / "bundle").runtime
    for row in (0, 20):
        square = read_square(opened.items["path"][row].as_py(), alone.preprocessing)
        mirrored = np.ascontiguousarray(square[:, :, ::-1])
        total = sum(alone.embed(one[None])[0] for one in (square, mirrored))
        found = opened.index.vectors(np.array([row]))[0]
        assert found == pytest.approx(total / np.linalg.norm(total), abs=1e-5)


def test_the_report_compares_views_with_what_the_same_weights_find_without(
    colours, tmp_path, flipped
):
    fit(colours, tmp_path / "plain")
    plain = report(tmp_path / "plain")
    assert plain.views is None
    found = report(tmp_path / "flipped")
    assert found.views.views == ["Flip"]
    assert found.views.photos_per_s > 0
    for name, by in found.views.labels.items():
        assert by.one_view == plain.metrics.trained[name].micro
        assert by.all_views == found.metrics.trained[name].micro
        assert by.gain.value == pytest.approx(by.all_views.value - by.one_view.value)


def test_a_trunk_cache_changes_no_embedding(colours, tmp_path, flipped):
    cache = TrunkCache(folder=str(tmp_path / "cache"))
    cached = fit(colours, tmp_path / "cached", eval_views=[Flip()], trunk_cache=cache)
    assert cached.takes_maps
    # they differ by how the cache rounds maps, of which BatchNorm learns
    assert np.allclose(vectors(tmp_path / "cached"), vectors(tmp_path / "flipped"), atol=1e-3)


def test_test_and_predict_see_all_views(colours, tmp_path, flipped):
    data = data_of(colours, eval_views=[Flip()])
    run = trainer(tmp_path, 1)
    measured = run.test(flipped, data, verbose=False)[0]
    views = report(tmp_path / "flipped").views
    wanted = views.labels["map_at_r"].all_views.value
    assert measured["test/map_at_r"] == pytest.approx(wanted, abs=1e-6)

    batches = run.predict(flipped, data)
    rows = np.concatenate([rows for rows, _ in batches])
    found = np.concatenate([embeddings for _, embeddings in batches])
    gallery = data.gallery("test").index.to_numpy()
    assert np.allclose(
        found[np.searchsorted(rows, gallery)], vectors(tmp_path / "flipped"), atol=1e-5
    )
