import pytest
import torch
from test_bundle import photos
from tiny import AveragingBackbone, TinyBackbone, load
from torch import Tensor, nn

from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.pooling import GeM
from vsearch.models.backbones.timm import TimmBackbone
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.heads.mlp import MLPHead
from vsearch.search.explain import ExplainError, can_explain, explain


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


def pair(made: Embedder, folder) -> tuple[Tensor, Tensor]:
    first, second, *_ = photos(folder / "photos")
    return load(first, made.preprocessing), load(second, made.preprocessing)


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
    score, query_parts, item_parts = explain(made, query, item)
    with torch.inference_mode():
        one, other = made(torch.stack([query, item]))
    assert can_explain(made)
    assert score == pytest.approx(float(one @ other), abs=1e-4)
    for parts in (query_parts, item_parts):
        assert tuple(parts.shape) == shape
        assert float(parts.sum()) == pytest.approx(score, abs=1e-4)
        assert parts.std() > 0
    assert not torch.equal(query_parts, item_parts)


def test_a_position_against_a_plain_loop(tmp_path):
    made = embedder(AveragingBackbone(), LinearHead(5))
    query, item = pair(made, tmp_path)
    _, parts, _ = explain(made, query, item)
    with torch.inference_mode():
        found, (other,) = made.backbone.feature_map(query[None])[0], made(item[None])
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
    query, item = torch.zeros(3, 16, 16), torch.rand(3, 16, 16)
    query[:, :4, :4] = 1  # all else is black, and black makes nothing
    score, parts, _ = explain(made, query, item)
    assert float(parts[:3, :3].sum()) == pytest.approx(score, abs=1e-5)
    assert not parts[3:].any()
    assert not parts[:, 3:].any()


def test_a_photo_beside_itself_has_score_1(tmp_path):
    made = embedder(torchvision())
    query, _ = pair(made, tmp_path)
    score, one, other = explain(made, query, query)
    assert score == pytest.approx(1, abs=1e-6)
    assert torch.equal(one, other)


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
    assert not can_explain(made)
    with pytest.raises(ExplainError, match=message):
        explain(made, torch.rand(3, size, size), torch.rand(3, size, size))


class Boasting(AveragingBackbone):
    def feature_map(self, photos: Tensor) -> Tensor:
        return super().feature_map(photos) if self.training else 2 * self.widen(self.stem(photos))

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.widen(self.stem(photos)))


def test_a_plugins_map_is_not_believed_but_checked():
    assert not can_explain(embedder(Boasting()))
