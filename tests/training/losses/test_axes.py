import math

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss

from vsearch.errors import ConfigError
from vsearch.training.losses.axes import AxisLoss, AxisLosses

LOSSES = "pytorch_metric_learning.losses"
CODES = np.array([0, -1, 2, 1, -1, 0, 1, -1])


def unit_vectors(n: int, dim: int = 4) -> torch.Tensor:
    made = torch.randn(n, dim, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(made, dim=1).requires_grad_()


def softmax_by_a_loop(embeddings: list, codes: list[int], centres: list, temperature: float):
    """The mean negative logarithm of each photo's share for its own centre."""
    total = 0.0
    for vector, code in zip(embeddings, codes, strict=True):
        logits = []
        for centre in centres:
            length = math.sqrt(sum(x * x for x in centre))
            cosine = sum(x * y for x, y in zip(vector, centre, strict=True)) / length
            logits.append(cosine / temperature)
        total += math.log(sum(math.exp(logit) for logit in logits)) - logits[code]
    return total / len(codes)


def test_photos_without_a_value_have_no_part():
    made = AxisLosses({"type": AxisLoss()}, {"type": CODES}, 4)
    rows = torch.tensor([3, 1, 0, 7, 2, 5])
    embeddings = unit_vectors(6)
    found = made(embeddings, rows)["type"]
    found.backward()

    known = [0, 2, 4, 5]
    vectors = embeddings.detach()[known].tolist()
    centres = made.losses[0].W.detach().T.tolist()
    wanted = softmax_by_a_loop(vectors, [1, 0, 2, 0], centres, 0.1)
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    assert embeddings.grad.abs().sum(dim=1).gt(0).tolist() == [True, False, True, False, True, True]


def test_by_hand():
    made = AxisLosses({"tint": AxisLoss()}, {"tint": np.array([0, 1, -1])}, 2)
    with torch.no_grad():
        made.losses[0].W.copy_(torch.eye(2))
    found = made(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 2]))["tint"]
    assert found.item() == pytest.approx(math.log(1 + math.exp(-10)), rel=1e-2)  # temperature 0.1


@pytest.mark.parametrize("name", ["NormalizedSoftmaxLoss", "SupConLoss"])
def test_a_batch_without_a_value_is_zero_with_a_gradient(name):
    made = AxisLosses({"a": AxisLoss({"class_path": f"{LOSSES}.{name}"})}, {"a": CODES}, 4)
    embeddings = unit_vectors(3)
    found = made(embeddings, torch.tensor([1, 4, 7]))["a"]
    found.backward()
    assert found.item() == 0
    for tensor in (embeddings, *made.parameters()):
        assert tensor.grad.abs().sum() == 0


def test_sizes_are_filled_in_and_settings_kept():
    settings = {
        "a": AxisLoss({"class_path": f"{LOSSES}.CosFaceLoss", "init_args": {"margin": 0.2}}),
        "b": AxisLoss({"class_path": f"{LOSSES}.SupConLoss", "init_args": {"temperature": 0.3}}, 2),
        "c": AxisLoss(),
    }
    made = AxisLosses(settings, dict.fromkeys(settings, CODES), 5)
    cosface, contrastive, softmax = made.losses
    assert (cosface.W.shape, cosface.margin) == ((5, 3), 0.2)
    assert contrastive.temperature == 0.3
    assert type(softmax) is NormalizedSoftmaxLoss
    assert (softmax.W.shape, softmax.temperature) == ((5, 3), 0.1)
    assert made.weights == {"a": 1.0, "b": 2, "c": 1.0}


def test_no_axes_are_no_losses():
    made = AxisLosses({}, {}, 4)
    assert made(unit_vectors(2), torch.arange(2)) == {}
    assert [*made.parameters()] == []


@pytest.mark.parametrize("weight", [0, -1.0, float("nan")])
def test_a_weight_is_above_zero(weight):
    with pytest.raises(ConfigError, match=r"^model\.axis_losses\.a\.weight: "):
        AxisLosses({"a": AxisLoss(weight=weight)}, {"a": CODES}, 4)
