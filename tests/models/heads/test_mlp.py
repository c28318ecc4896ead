import json

import pytest
import torch

from vsearch.class_paths import build, describe
from vsearch.models.heads.base import Head
from vsearch.models.heads.mlp import MLPHead


def attached(features: int, **arguments) -> MLPHead:
    head = MLPHead(**arguments)
    head.attach(features)
    return head


@pytest.mark.parametrize(("hidden", "width"), [(None, 4), (7, 7)])
def test_the_hidden_layer_is_as_wide_as_the_features_unless_it_is_told(hidden, width):
    head = attached(4, dim=3, hidden=hidden)
    assert head(torch.randn(2, 4)).shape == (2, 3)
    assert [tuple(p.shape) for p in head.parameters()] == [
        (width, 4),
        (width,),
        (width,),
        (3, width),
        (3,),
    ]


@torch.no_grad()
def test_against_loops():
    head = attached(3, dim=2, hidden=4)
    norm = head.layers[1]
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    features, first, last = torch.randn(5, 3), head.layers[0], head.layers[3]
    wanted = []
    for row in features:
        hidden = []
        for unit in range(4):
            value = sum(first.weight[unit, i] * row[i] for i in range(3))
            value = (value - norm.running_mean[unit]) / (norm.running_var[unit] + norm.eps) ** 0.5
            hidden.append(max(value * norm.weight[unit] + norm.bias[unit], torch.tensor(0.0)))
        wanted.append(
            [
                sum(last.weight[out, i] * hidden[i] for i in range(4)) + last.bias[out]
                for out in range(2)
            ]
        )
    assert torch.allclose(head.eval()(features), torch.tensor(wanted), atol=1e-5)


def test_the_spec_builds_it_again_with_its_statistics():
    head = attached(5, dim=3, hidden=4)
    head.train()(torch.randn(8, 5))
    again = build(json.loads(json.dumps(describe(head))), Head)
    again.attach(5)
    again.load_state_dict(head.state_dict())
    features = torch.randn(4, 5)
    assert torch.equal(again.eval()(features), head.eval()(features))


@pytest.mark.parametrize(("name", "width"), [("dim", 0), ("hidden", 0), ("hidden", -4)])
def test_both_layers_have_a_width(name, width):
    with pytest.raises(ValueError, match=rf"^{name}: it must be 1 or more, not {width}\.$"):
        MLPHead(**{name: width})
