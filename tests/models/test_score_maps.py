from dataclasses import replace

import numpy as np
import pytest
import torch
from test_bundle import photos
from tiny import AveragingBackbone, TinyBackbone
from torch import Tensor, nn

from vsearch.data.photos import read_square
from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.pooling import GeM
from vsearch.models.backbones.timm import TimmBackbone
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.heads.mlp import MLPHead
from vsearch.models.normalising import normalise
from vsearch.models.positions import can_split
from vsearch.models.runtimes.base import ExplainError
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.models.score_maps import split_score


def torchvision(name: str = "resnet18", **arguments) -> TorchvisionBackbone:
    return TorchvisionBackbone(name, weights=None, image_size=64, **arguments)


def embedder(backbone: Backbone, head=None) -> Embedder:
    torch.manual_seed(0)
    made = Embedder(backbone, head)
    with torch.no_grad():
        made(
            torch.rand(8, 3, backbone.preprocessing.size, backbone.preprocessing.size)
        )  # BatchNorm sees something
        if isinstance(head, LinearHead):
            head.layer.bias.fill_(0.3)
    return made.eval()


def pair(made: Embedder, folder) -> tuple[np.ndarray, np.ndarray]:
    first, second, *_ = photos(folder / "photos")
    return read_square(first, made.preprocessing), read_square(second, made.preprocessing)


@pytest.mark.parametrize("head", [None, LinearHead], ids=["no head", "linear head"])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (AveragingBackbone, (8, 8)),
        (torchvision, (2, 2)),
        (lambda: torchvision("resnet50"), (2, 2)),
        (lambda: torchvision("regnet_y_400mf"), (2, 2)),
        (lambda: TimmBackbone("resnet18", weights=None, image_size=64), (2, 2)),
    ],
    ids=["tiny", "resnet18", "resnet50", "regnet", "timm"],
)
def test_the_parts_of_each_photo_sum_to_the_score(make, shape, head, tmp_path):
    made = embedder(make(), head and head(5))
    query, item = pair(made, tmp_path)
    found = split_score(TorchRuntime(made), query, item)
    one, other = TorchRuntime(made).embed(np.stack([query, item]))
    assert can_split(made)
    assert found.score == pytest.approx(float(one @ other), abs=1e-4)
    for parts in (found.query, found.item):
        assert tuple(parts.shape) == shape
        assert float(parts.sum()) == pytest.approx(found.score, abs=1e-4)
        assert parts.std() > 0
    assert not np.array_equal(found.query, found.item)


def test_a_position_against_a_plain_loop(tmp_path):
    made = embedder(AveragingBackbone(), LinearHead(5))
    query, item = pair(made, tmp_path)
    parts = split_score(TorchRuntime(made), query, item).query
    with torch.inference_mode():
        photo = normalise(torch.from_numpy(query), made.preprocessing)
        found = made.backbone.feature_map(photo[None])[0]
        other = torch.from_numpy(TorchRuntime(made).embed(item[None])[0])
        weight, bias = made.head.layer.weight, made.head.layer.bias
        length = (weight @ found.mean((1, 2)) + bias).norm()
        for row, column in [(0, 0), (3, 5), (7, 7)]:
            own = (weight @ found[:, row, column] + bias) / 64 / length
            assert float(parts[row, column]) == pytest.approx(float(own @ other), abs=1e-6)


def test_what_is_not_there_has_no_part(tmp_path):
    made = embedder(AveragingBackbone())
    with torch.no_grad():
        for layer in made.modules():
            if isinstance(layer, nn.Conv2d):
                layer.bias.zero_()
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.zero_()
                layer.bias.zero_()
    made.backbone.preprocessing = replace(made.preprocessing, mean=(0, 0, 0))
    query = np.zeros((3, 16, 16), np.uint8)
    query[:, :4, :4] = 255  # all else is black, and black makes nothing
    item = np.random.default_rng(0).integers(0, 256, query.shape, np.uint8)
    maps = split_score(TorchRuntime(made), query, item)
    assert float(maps.query[:3, :3].sum()) == pytest.approx(maps.score, abs=1e-5)
    assert not maps.query[3:].any()
    assert not maps.query[:, 3:].any()


def test_a_photo_beside_itself_has_score_1(tmp_path):
    made = embedder(torchvision())
    query, _ = pair(made, tmp_path)
    maps = split_score(TorchRuntime(made), query, query)
    assert maps.score == pytest.approx(1, abs=1e-6)
    assert np.array_equal(maps.query, maps.item)


@pytest.mark.parametrize(
    ("make", "head", "message"),
    [
        (
            lambda: torchvision(pool=GeM()),
            None,
            "TorchvisionBackbone resnet18 has no feature map that it averages",
        ),
        (
            lambda: torchvision("squeezenet1_1"),
            None,
            "TorchvisionBackbone squeezenet1_1 has no feature map",
        ),
        (
            lambda: torchvision("mobilenet_v3_small"),
            None,
            "mobilenet_v3_small does more than average",
        ),  # layers after it
        (
            lambda: TimmBackbone("convnext_atto", None, image_size=64),
            None,
            "convnext_atto does more",
        ),  # LayerNorm
        (
            lambda: TimmBackbone("vit_tiny_patch16_224", None, image_size=64),
            None,
            "vit_tiny_patch16_224 has no feature",
        ),
        (TinyBackbone, None, "TinyBackbone has no feature map"),
        (AveragingBackbone, MLPHead, "the head MLPHead isn't linear"),
    ],
    ids=["GeM", "SqueezeNet", "MobileNet", "ConvNeXt", "ViT", "four cells", "MLP"],
)
def test_what_does_not_split_is_refused(make, head, message):
    made = embedder(make(), head and head(5))
    size = made.preprocessing.size
    assert not can_split(made)
    with pytest.raises(ExplainError, match=message):
        split_score(
            TorchRuntime(made),
            *np.random.default_rng(0).integers(0, 256, (2, 3, size, size), np.uint8),
        )


class Boasting(AveragingBackbone):
    def feature_map(self, photos: Tensor) -> Tensor:
        return super().feature_map(photos) if self.training else 2 * self.widen(self.stem(photos))

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.widen(self.stem(photos)))


def test_a_plugins_map_is_not_believed_but_checked():
    assert not can_split(embedder(Boasting()))
