import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_module import data_of, learner, trainer
from tiny import ChainBackbone, ColourCatalog

from callbacks.build_index import BuildIndex
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.opening import open_bundle
from vsearch.data.photos import read_square
from vsearch.data.regions import Grid
from vsearch.data.splits import SplitError
from vsearch.evaluation.run_report import RunReport
from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.regions import without_regions


def fit(colours: ColourCatalog, folder: Path, index: Index | None = None) -> RunReport:
    module = learner(optimizer=lambda parameters: torch.optim.SGD(parameters, 0.0))
    torch.manual_seed(0)
    module.embedder.backbone = ChainBackbone()
    best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/loss")
    run = trainer(folder, 1, callbacks=[best, BuildIndex(index, export=False)])
    run.fit(module, data_of(colours, index_views=Grid(2)))
    return RunReport.from_json(json.loads((folder / "bundle" / "report.json").read_text()))


def test_the_served_index_holds_parts_and_the_report_compares_them(colours, tmp_path, drawing):
    report = fit(colours, tmp_path)
    live = open_live(tmp_path / "bundle")
    searcher = open_bundle(tmp_path / "bundle", "torch")
    found = live.all_vectors(np.arange(len(live.items)))
    assert found.shape[1] == 5
    for part, region in enumerate((None, *Grid(2).boxes)):
        path = live.items["path"][3].as_py()
        square = read_square(path, searcher.runtime.preprocessing, region=region)
        wanted = searcher.runtime.embed(square[None])[0]
        np.testing.assert_allclose(found[3, part], wanted, atol=1e-5)

    assert report.regions.per_item == 5
    for name, by in report.regions.labels.items():
        assert by.regions == report.metrics.trained[name].micro
        assert by.gain.value == pytest.approx(by.regions.value - by.whole.value)
    assert report.index.vectors == len(live.items)
    assert "## Parts of photos" in (tmp_path / "bundle" / "report.md").read_text()
    assert "Parts of photos" in (tmp_path / "bundle" / "report.html").read_text()


def test_label_budgets_choose_among_indexes_of_parts(colours, tmp_path):
    report = fit(colours, tmp_path, AutoIndex(None, max_label_loss=0.5, prefer="memory"))
    assert report.index.why
    assert isinstance(without_regions(open_live(tmp_path / "bundle").index), AutoIndex)


def test_budgets_that_nothing_meets_leave_exact_search_of_parts(colours, tmp_path):
    with pytest.warns(UserWarning, match="Exact search is used instead"):
        report = fit(colours, tmp_path, AutoIndex(max_mib=1e-6))
    assert report.index.why.startswith("Exact search")
    assert open_bundle(tmp_path / "bundle").index.spec.endswith("5 vectors an item")


def test_means_over_photos_and_parts_of_photos_are_refused(colours):
    with pytest.raises(SplitError, match="compares whole photos"):
        data_of(colours, index_views=Grid(2), fuse="mean")


def test_means_without_products_are_refused(colours):
    with pytest.raises(SplitError, match=r"name the column of them in `data\.group`"):
        data_of(colours, fuse="mean")
