import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vsearch.class_paths import build
from vsearch.models.backbones.base import Backbone


def _photos(backbone: Backbone, count: int = 4) -> torch.Tensor:
    size = backbone.preprocessing.size
    return torch.randn(count, 3, size, size)


def _step(backbone: Backbone) -> set[str]:
    """Train one step; return the names of the parameters and buffers that changed."""
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.AdamW(
        [p for p in backbone.parameters() if p.requires_grad], 0.1, weight_decay=0.1
    )
    backbone.train()
    backbone(_photos(backbone)).square().sum().backward()
    optimizer.step()
    return {
        name
        for name, value in backbone.state_dict().items()
        if not torch.equal(value, before[name])
    }


@pytest.fixture
def freezes() -> Callable[[Backbone, list[str]], None]:
    """Check that a real optimizer step in training mode changes every stage but those frozen, bit
    for bit.
    """

    def check(backbone: Backbone, frozen: list[str]) -> None:
        assert set(frozen) < set(backbone.stages)
        changed = _step(backbone)
        for stage in backbone.stages:
            moved = [name for name in changed if name.startswith(f"model.{stage}.")]
            assert bool(moved) == (stage not in frozen), (stage, moved)

    return check


@pytest.fixture
def rebuilds() -> Callable[[Backbone], Backbone]:
    """Check that the spec, through JSON, builds an architecture that takes the state; return what
    it built.
    """

    def check(backbone: Backbone) -> Backbone:
        again = build(json.loads(json.dumps(backbone.spec())), Backbone, torch.nn.Module)
        again.load_state_dict(dict(backbone.state_dict()))
        photos = _photos(backbone)
        features = backbone.eval()(photos)
        assert features.shape == (4, backbone.dim)
        assert again.dim == backbone.dim
        assert torch.equal(again.eval()(photos), features)
        return again

    return check


@pytest.fixture
def hub_has(hub_offline: None, tmp_path: Path) -> Callable[[str, Path], Path]:
    """Put the files of a folder into the cache of the Hub, as one that was downloaded; return where
    they lie.
    """

    def put(repository: str, files: Path) -> Path:
        model = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (model / "refs").mkdir(parents=True)
        (model / "refs" / "main").write_text("0" * 40)
        shutil.copytree(files, model / "snapshots" / ("0" * 40))
        return model / "snapshots" / ("0" * 40)

    return put


@pytest.fixture
def hub_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hugging Face's Hub out of reach, and nothing of it on this machine."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
