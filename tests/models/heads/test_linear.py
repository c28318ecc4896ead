import json

import pytest
import torch

from vsearch.class_paths import build, describe
from vsearch.models.heads.base import Head
from vsearch.models.heads.linear import LinearHead


def attached(features: int, **arguments) -> LinearHead:
    head = LinearHead(**arguments)
    head.attach(features)
    return head


def test_a_product_by_hand():
    head = attached(2, dim=1)
    with torch.no_grad():
        head.layer.weight.copy_(torch.tensor([[10.0, 1.0]]))
        head.layer.bias.fill_(0.5)
    assert head(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[34.5], [0.5]]


@pytest.mark.parametrize("dim", [0, -4])
def test_an_embedding_has_a_length(dim):
    with pytest.raises(ValueError, match=rf"^dim: it must be 1 or more, not {dim}\.$"):
        LinearHead(dim)


def test_every_weight_learns():
    head = attached(5, dim=3)
    head(torch.randn(4, 5)).square().sum().backward()
    assert [tuple(parameter.grad.shape) for parameter in head.parameters()] == [(3, 5), (3,)]
    assert all(parameter.grad.any() for parameter in head.parameters())


def test_the_spec_builds_it_again():
    head = attached(5, dim=3)
    again = build(json.loads(json.dumps(describe(head))), Head)
    again.attach(5)
    again.load_state_dict(head.state_dict())
    features = torch.randn(4, 5)
    assert torch.equal(again(features), head(features))


def test_before_it_is_attached_there_is_nothing_to_train():
    head = LinearHead()
    assert (head.dim, list(head.parameters())) == (256, [])
    with pytest.raises(AttributeError, match="layer"):
        head(torch.randn(4, 5))
