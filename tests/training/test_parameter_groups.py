import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss, TripletMarginLoss
from tiny import TinyBackbone

from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.training.parameter_groups import parameter_groups, scale_rates


def rates(embedder: Embedder, loss: torch.nn.Module, factors: dict[str, float]) -> dict[int, float]:
    """Each trained parameter's learning rate, of a base of 0.1; a parameter in two groups is an
    error of torch's.
    """
    optimizer = torch.optim.SGD(parameter_groups(embedder, loss, factors), lr=0.1)
    scale_rates(optimizer)
    return {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}


def test_each_part_has_its_rate_and_the_rest_the_optimizers():
    embedder, loss = Embedder(TinyBackbone(), LinearHead(4)), ArcFaceLoss(3, 4)
    found = rates(embedder, loss, {"loss": 100, "stem": 0.5})
    expected = {id(value): 0.1 for value in embedder.parameters()}
    expected |= {id(value): 0.05 for value in embedder.backbone.stem.parameters()}
    expected |= {id(value): 10.0 for value in loss.parameters()}
    assert found == pytest.approx(expected)


def test_the_inner_of_two_nested_parts_wins():
    backbone = TinyBackbone()
    found = rates(Embedder(backbone), TripletMarginLoss(), {"stem": 2, "stem.1": 3})
    assert {found[id(value)] for value in backbone.stem[1].parameters()} == {0.1 * 3}
    assert {found[id(value)] for value in backbone.stem[0].parameters()} == {0.1 * 2}


def test_a_part_may_be_all_of_the_backbone_or_one_parameter_and_the_inner_wins():
    backbone = TinyBackbone()
    found = rates(Embedder(backbone), TripletMarginLoss(), {"all": 2, "stem": 3, "stem.0.bias": 4})
    assert found.pop(id(backbone.stem[0].bias)) == 0.1 * 4
    assert {
        found.pop(id(value)) for name, value in backbone.stem.named_parameters() if name != "0.bias"
    } == {0.1 * 3}
    assert set(found) == {id(value) for value in backbone.head.parameters()}
    assert set(found.values()) == {0.1 * 2}


def test_what_is_frozen_is_in_no_group():
    backbone = TinyBackbone(frozen=True)
    found = rates(Embedder(backbone), TripletMarginLoss(), {"all": 2})
    assert set(found) == {id(value) for value in backbone.head.parameters()}


def test_a_loss_without_weights_may_have_a_factor():
    embedder = Embedder(TinyBackbone())
    assert set(rates(embedder, TripletMarginLoss(), {"loss": 100})) == {
        id(value) for value in embedder.parameters()
    }


def test_head_is_the_embedders_head_where_there_is_one():
    embedder = Embedder(TinyBackbone(), LinearHead(4))
    found = rates(embedder, TripletMarginLoss(), {"head": 3})
    assert {found[id(value)] for value in embedder.head.parameters()} == {0.1 * 3}


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (
            {"stemm": 1.0},
            r"^lr_factors: .*no part 'stemm'\. Its stages: .*Outside the backbone: loss\.$",
        ),
        ({"stem": 1.0}, "^lr_factors: stem is frozen"),
        ({"head": 0}, "must be above 0"),
        ({"": 1}, "no part ''"),
    ],
)
def test_wrong_factors_are_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        parameter_groups(Embedder(TinyBackbone(frozen=True)), TripletMarginLoss(), factors)


def test_the_head_is_offered_where_there_is_one():
    with pytest.raises(ValueError, match=r"Outside the backbone: loss, head\.$"):
        parameter_groups(
            Embedder(TinyBackbone(), LinearHead(4)), TripletMarginLoss(), {"stemm": 1.0}
        )
