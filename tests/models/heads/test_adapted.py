import json

import pytest
import torch
from torch import nn

from vsearch.class_paths import build, describe
from vsearch.models.heads.adapted import AdaptedHead
from vsearch.models.heads.base import Head
from vsearch.models.heads.linear import LinearHead


def layer_of(weight, bias) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer.requires_grad_(False)


def test_it_maps_unit_vectors_by_hand():
    head = AdaptedHead.of(layer_of([[10.0, 5.0]], [1.0]), None)
    assert head.dim == 1
    # (3, 4) has the direction (0.6, 0.8), whatever its length
    assert head(torch.tensor([[3.0, 4.0], [30.0, 40.0]])).flatten().tolist() == pytest.approx(
        [11, 11]
    )


def test_it_stands_behind_the_head_that_was_trained():
    trained = LinearHead(2)
    trained.attach(3)
    layer = layer_of([[1.0, 2.0]], [0.5])
    features = torch.randn(4, 3)
    found = AdaptedHead.of(layer, trained)(features)
    assert torch.equal(found, layer(nn.functional.normalize(trained(features), dim=1)))


def test_bfloat16_elsewhere_leaves_it_in_float32():
    head = AdaptedHead.of(layer_of([[1e4, -1e4]], [0.0]), None)
    features = torch.tensor([[1.0, 1.0001]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(features)
    assert found.dtype == torch.float32
    assert torch.equal(found, head(features))


@pytest.mark.parametrize("trained", [None, LinearHead(4)])
def test_the_spec_builds_it_again(trained):
    head = AdaptedHead(2, trained)
    head.attach(5)
    again = build(json.loads(json.dumps(describe(head))), Head, nn.Module)
    again.attach(5)
    again.load_state_dict(head.state_dict())
    features = torch.randn(3, 5)
    assert torch.equal(again(features), head(features))
