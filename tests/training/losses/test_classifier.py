import math

import pytest
import torch

from vsearch.training.losses.classifier import ClassifierLoss


def unit_vectors(n: int, dim: int) -> torch.Tensor:
    return torch.nn.functional.normalize(
        torch.randn(n, dim, generator=torch.Generator().manual_seed(0)), dim=1
    )


@pytest.mark.parametrize(("scale", "smoothing"), [(1.0, 0.0), (16.0, 0.0), (8.0, 0.1)])
def test_it_is_the_cross_entropy_of_a_plain_loop(scale, smoothing):
    torch.manual_seed(1)
    loss, embeddings, labels = (
        ClassifierLoss(4, 6, scale, smoothing),
        unit_vectors(10, 6),
        torch.arange(10) % 4,
    )
    weight, bias = loss.classifier.weight.tolist(), loss.classifier.bias.tolist()
    total = 0.0
    for vector, label in zip(embeddings.tolist(), labels.tolist(), strict=True):
        logits = [
            sum(scale * x * w for x, w in zip(vector, row, strict=True)) + b
            for row, b in zip(weight, bias, strict=True)
        ]
        log_sum = math.log(sum(math.exp(logit) for logit in logits))
        target = [smoothing / 4 + (1 - smoothing) * (code == label) for code in range(4)]
        total -= sum(share * (logit - log_sum) for share, logit in zip(target, logits, strict=True))
    assert loss(embeddings, labels).item() == pytest.approx(total / 10, rel=1e-5)


def test_by_hand():
    loss = ClassifierLoss(2, 2, scale=3.0)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.eye(2))
        loss.classifier.bias.zero_()
    value = loss(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert value.item() == pytest.approx(
        (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(3))) / 2
    )


def test_the_gradient_reaches_embeddings_and_the_classifier():
    loss, embeddings = ClassifierLoss(3, 5), unit_vectors(6, 5).requires_grad_()
    loss(embeddings, torch.arange(6) % 3).backward()
    assert embeddings.grad.abs().sum() > 0
    for weight in (loss.classifier.weight, loss.classifier.bias):
        assert weight.grad.abs().sum() > 0


def test_without_scale_a_new_classifier_is_near_uniform_whatever_the_embedding():
    torch.manual_seed(0)
    labels = torch.arange(16)
    values = {}
    for scale in (1.0, 16.0):
        loss = ClassifierLoss(16, 64, scale)
        perfect = torch.nn.functional.normalize(
            loss.classifier.weight.detach(), dim=1
        )  # each label on its own centre
        values[scale] = loss(perfect, labels).item()
    assert values[1.0] > 0.75 * math.log(16)
    assert values[16.0] < 0.1 * math.log(16)


def test_one_photo_of_one_label_is_certain():
    assert ClassifierLoss(1, 4)(unit_vectors(1, 4), torch.tensor([0])).item() == 0


def test_what_a_miner_picked_is_refused():
    triplets = (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    with pytest.raises(ValueError, match="`miner: null`"):
        ClassifierLoss(2, 4)(unit_vectors(3, 4), torch.tensor([0, 0, 1]), triplets)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, "scale: it must be above 0"),
        ({"scale": -1.0}, "scale: it must be above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassifierLoss(3, 4, **arguments)
