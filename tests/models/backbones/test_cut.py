from pathlib import Path

import pytest
import torch
import torchvision
from tiny import ChainBackbone, TinyBackbone
from torch import nn

from vsearch.models.backbones.cut import cut
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.embedder import Embedder

NETWORKS = [
    ("resnet18", ["conv1", "bn1", "layer1", "layer2", "layer3"], "layer3.1", (256, 4, 4)),
    ("resnet18", ["conv1", "bn1", "layer1", "layer2.0"], "layer2.0", (128, 8, 8)),
    ("resnet18", ["all"], "fc", (512, 1, 1)),
    ("efficientnet_b0", ["features.0", "features.1"], "features.1", (16, 32, 32)),
    ("convnext_tiny", ["features.0"], "features.0", (96, 16, 16)),
    ("regnet_y_400mf", ["stem"], "stem", (32, 32, 32)),
]


def network(name: str, freeze: list[str], folder: Path) -> TorchvisionBackbone:
    torch.manual_seed(0)
    torch.save(getattr(torchvision.models, name)().state_dict(), folder / "weights.pth")
    return TorchvisionBackbone(name, str(folder / "weights.pth"), freeze, image_size=64)


@pytest.mark.parametrize(("name", "freeze", "last", "shape"), NETWORKS)
def test_both_parts_make_what_the_network_makes(name, freeze, last, shape, tmp_path):
    backbone = network(name, freeze, tmp_path).eval()
    found = cut(backbone)
    photos = torch.randn(3, 3, 64, 64)
    maps = found.trunk(photos)
    assert found.names[-1] == last
    assert maps.shape == (3, *shape)
    assert torch.allclose(found.rest(maps), backbone(photos), atol=1e-5)


@pytest.mark.parametrize("name", ["conv_proj", "encoder.layers.encoder_layer_0"])
def test_a_network_that_is_no_chain_is_not_cut(name, tmp_path):
    assert cut(network("vit_b_16", [name], tmp_path)) is None


@pytest.mark.parametrize("freeze", [[], ["body"]])
def test_nothing_is_cut_where_the_first_layer_is_trained(freeze):
    assert cut(ChainBackbone(freeze=freeze)) is None


def test_a_plugin_without_a_model_is_not_cut():
    assert cut(TinyBackbone(frozen=True)) is None


def test_layers_between_frozen_ones_belong_to_the_trunk_but_dropout_ends_it():
    backbone = ChainBackbone()
    assert cut(backbone).names == ("stem.0", "stem.1", "relu")
    backbone.model.relu = nn.Dropout()
    assert cut(backbone).names == ("stem.0", "stem.1")


def test_modes_stay_and_the_parts_share_their_weights_with_the_network():
    backbone = ChainBackbone().train()
    before = {name: module.training for name, module in backbone.named_modules()}
    state = [*backbone.state_dict()]
    found = cut(backbone)
    assert {name: module.training for name, module in backbone.named_modules()} == before
    assert [*backbone.state_dict()] == state
    assert {id(value) for value in (*found.trunk.parameters(), *found.rest.parameters())} == {
        id(value) for value in backbone.parameters()
    }


def test_a_map_of_three_channels_is_a_map():
    backbone = ChainBackbone()
    backbone.model.stem = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1)).requires_grad_(False)
    backbone.model.body = nn.Sequential(nn.Conv2d(3, 8, 1))
    embedder = Embedder(backbone.eval())
    photos = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        maps = embedder.cut.trunk(photos)
        assert maps.shape == photos.shape
        assert torch.allclose(embedder.embed_maps(maps), embedder(photos), atol=1e-6)
