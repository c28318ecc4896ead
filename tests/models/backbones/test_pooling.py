import math

import pytest
import torch

from vsearch.models.backbones.pooling import GeM


def naive(features: torch.Tensor, p: float) -> list[list[float]]:
    return [
        [
            (sum(value**p for value in channel.flatten().tolist()) / channel.numel()) ** (1 / p)
            for channel in photo
        ]
        for photo in features
    ]


@pytest.mark.parametrize("p", [1.0, 3.0, 4.5])
def test_against_loops(p):
    features = torch.rand(2, 3, 4, 5) + 0.1
    pooled = GeM(p)(features)
    assert pooled.shape == (2, 3, 1, 1)
    assert torch.allclose(pooled.flatten(1), torch.tensor(naive(features, p)), atol=1e-5)


def test_one_is_the_average_and_a_large_exponent_nears_the_maximum():
    features = torch.rand(2, 3, 4, 4)
    assert torch.allclose(GeM(1.0)(features), features.mean((2, 3), keepdim=True), atol=1e-5)
    assert torch.allclose(GeM(200.0)(features), features.amax((2, 3), keepdim=True), atol=0.02)


def test_the_exponent_learns_unless_it_is_fixed():
    features = torch.rand(2, 3, 4, 4)
    learning, fixed = GeM(3.0), GeM(3.0, trainable=False)
    learning(features).sum().backward()
    assert learning.exponent.grad > 0  # a larger exponent, a larger mean
    assert not any(parameter.requires_grad for parameter in fixed.parameters())
    assert (learning.p, learning.trainable, fixed.trainable) == (3.0, True, False)


def test_zeros_and_negative_values_have_finite_gradients():
    features = torch.tensor([-1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2).requires_grad_()
    pooling = GeM()
    pooled = pooling(features)
    pooled.sum().backward()
    assert pooled.item() == pytest.approx(1e-6, rel=1e-3)
    assert math.isfinite(pooling.exponent.grad)
    assert torch.isfinite(features.grad).all()


def test_half_precision_is_pooled_in_float32():
    features = torch.rand(2, 3, 7, 7) * 60
    exact = GeM(5.0)(features.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        pooled = GeM(5.0)(features.bfloat16())
    assert pooled.dtype == torch.bfloat16
    assert torch.equal(pooled, exact.bfloat16())  # rounded once, at the end


def test_an_exponent_of_zero_is_refused():
    with pytest.raises(ValueError, match="p must be above 0, got 0"):
        GeM(0)
