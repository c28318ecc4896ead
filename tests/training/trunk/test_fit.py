from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_configs import CONFIGS, SMALLER, TRIPLET, demo, shallow  # noqa: F401  (fixtures)
from test_configs import fit as fit_configs
from test_module import data_of, learner, trainer
from tiny import ChainBackbone, ColourCatalog
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.transforms import v2

from callbacks.build_index import BuildIndex
from vsearch.bundle.opening import open_bundle
from vsearch.training.module import MetricLearner
from vsearch.training.trunk import fill as filling
from vsearch.training.trunk.cache import TrunkCache


class RoundedReLU(nn.ReLU):
    """As the cache keeps maps, so that what is left between two fits is no rounding."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps).bfloat16().float()


def fit(
    colours: ColourCatalog, folder: Path, freeze=("stem",), epochs: int = 3, **data: Any
) -> MetricLearner:
    module = learner(
        optimizer=lambda parameters: torch.optim.SGD(parameters, 0.1)
    )  # Adam makes much of rounding
    torch.manual_seed(0)
    module.embedder.backbone = ChainBackbone(freeze=[*freeze])
    module.embedder.backbone.model.relu = RoundedReLU()
    best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/loss")
    trainer(folder, epochs, callbacks=[best, BuildIndex()]).fit(module, data_of(colours, **data))
    return module


def vectors(folder: Path) -> np.ndarray:
    index = open_bundle(folder / "bundle").index
    return index.vectors(np.arange(len(index)))


def test_a_fit_from_the_cache_learns_what_a_fit_from_photos_learns(colours, tmp_path):
    plain = fit(colours, tmp_path / "plain")
    cached = fit(
        colours, tmp_path / "cached", trunk_cache=TrunkCache(folder=str(tmp_path / "cache"))
    )
    assert np.allclose(vectors(tmp_path / "plain"), vectors(tmp_path / "cached"), atol=1e-4)
    for one, other in zip(plain.backbone.parameters(), cached.backbone.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_second_fit_runs_no_photo_through_the_frozen_stages_and_repeats_the_first(
    colours, tmp_path, monkeypatch
):
    settings = {
        "trunk_cache": TrunkCache(folder=str(tmp_path / "cache")),
        "augment": [v2.RandomHorizontalFlip()],
    }
    first = fit(colours, tmp_path / "first", **settings)
    monkeypatch.setattr(filling, "_write", None)
    second = fit(colours, tmp_path / "second", **settings)
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    assert np.array_equal(vectors(tmp_path / "first"), vectors(tmp_path / "second"))


def test_nothing_frozen_is_said_and_trains_from_photos(colours, tmp_path):
    with pytest.warns(UserWarning, match=r"data\.trunk_cache isn't used"):
        fit(
            colours,
            tmp_path / "run",
            freeze=(),
            epochs=1,
            trunk_cache=TrunkCache(folder=str(tmp_path / "cache")),
        )
    assert not (tmp_path / "cache").exists()
    assert (tmp_path / "run" / "bundle").exists()


def test_the_overlay_fits_from_loaded_weights_and_its_bundle_finds_a_photo_again(
    demo,  # noqa: F811
    shallow,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(resnet18().state_dict(), tmp_path / "loaded.pth")
    model = {
        "init_args": {
            **SMALLER["model"]["backbone"]["init_args"],
            "weights": str(tmp_path / "loaded.pth"),
        }
    }
    overlay = CONFIGS / "extras" / "trunk_cache.yaml"
    made = fit_configs(tmp_path, TRIPLET, overlay, model={"backbone": model}, catalog=demo)
    assert made.manifest["cost"]["embed_photos_per_s"] is None  # none was decoded
    assert list((tmp_path / ".cache" / "vsearch" / "trunk").rglob("maps.bin"))
    one = made.items.slice(0, 1).to_pylist()[0]
    assert made.search([one["path"]], 1)[0]["score"][0].as_py() == pytest.approx(1, abs=1e-3)
