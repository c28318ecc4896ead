import pytest
import torch
from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    ContrastiveLoss,
    CrossBatchMemory,
    MarginLoss,
    MultiSimilarityLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import nn

from vsearch.training.losses.classifier import ClassifierLoss
from vsearch.training.losses.matryoshka import MatryoshkaLoss

MARGIN = 0.3
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


def embeddings(dim: int = 8) -> torch.Tensor:
    drawn = torch.randn(len(LABELS), dim, generator=torch.Generator().manual_seed(0))
    return nn.functional.normalize(drawn, dim=1)


def triplet() -> TripletMarginLoss:
    return TripletMarginLoss(MARGIN, reducer=MeanReducer())


def by_loops(vectors: torch.Tensor, triplets, dims, weights) -> float:
    total = 0.0
    for dim, weight in zip(dims, weights, strict=True):
        values = []
        for a, p, n in zip(*(positions.tolist() for positions in triplets), strict=True):
            anchor, positive, negative = (
                vectors[i, :dim] / vectors[i, :dim].norm() for i in (a, p, n)
            )
            values.append(
                max(0.0, ((anchor - positive).norm() - (anchor - negative).norm() + MARGIN).item())
            )
        total += weight * sum(values) / len(values)
    return total / sum(weights)


@pytest.mark.parametrize(
    ("dims", "weights"), [([2, 4, 8], None), ([8, 3], [1.0, 0.25]), ([8], None)]
)
def test_it_is_the_weighted_mean_over_renormalised_prefixes_of_what_was_mined(dims, weights):
    vectors = embeddings()
    mined = BatchHardMiner()(vectors, LABELS)
    value = MatryoshkaLoss(triplet(), dims, weights)(vectors, LABELS, mined)
    assert value.item() == pytest.approx(
        by_loops(vectors, mined, dims, weights or [1.0] * len(dims)), rel=1e-5
    )


def test_by_hand():
    vectors = torch.tensor([[0.6, 0.8], [0.6, -0.8], [-1.0, 0.0]])
    mined = (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    long = max(0.0, 1.6 - (1.6**2 + 0.8**2) ** 0.5 + MARGIN)
    short = 0.0  # at length 1 the pair falls together, and the negative is 2 away
    value = MatryoshkaLoss(triplet(), [1, 2], [3.0, 1.0])(vectors, torch.tensor([0, 0, 1]), mined)
    assert value.item() == pytest.approx((3 * short + long) / 4)


def test_the_whole_embedding_alone_is_the_inner_loss():
    vectors = embeddings()
    alone = MultiSimilarityLoss()(vectors, LABELS)
    assert MatryoshkaLoss(MultiSimilarityLoss(), [8])(vectors, LABELS).item() == pytest.approx(
        alone.item(), rel=1e-5
    )


def test_the_gradient_reaches_every_dimension_and_short_prefixes_weigh_more():
    vectors = embeddings().requires_grad_()
    MatryoshkaLoss(ContrastiveLoss(), [2, 8])(vectors, LABELS).backward()
    assert (vectors.grad.abs().sum(dim=0) > 0).all()
    assert vectors.grad[:, :2].norm() > vectors.grad[:, 2:].norm()


def test_the_gradient_reaches_weights_of_the_inner_loss_that_fit_any_length():
    loss = MatryoshkaLoss(MarginLoss(learn_beta=True, num_classes=3), [4, 8])
    loss(embeddings(), LABELS).backward()
    assert [name for name, _ in loss.named_parameters()] == ["loss.beta"]
    assert loss.loss.beta.grad.abs().sum() > 0


def test_nothing_mined_is_no_loss_and_can_be_trained_on():
    nothing = tuple(torch.empty(0, dtype=torch.long) for _ in range(3))
    vectors = embeddings().requires_grad_()
    value = MatryoshkaLoss(triplet(), [4, 8])(vectors, LABELS, nothing)
    value.backward()
    assert value.item() == 0


@pytest.mark.parametrize(
    ("dims", "weights", "message"),
    [
        ([4, 16], None, "embedding's own 8.*head of 16"),
        ([2, 4], None, "embedding's own 8"),
        ([], None, "dims: they must be"),
        ([0, 8], None, "dims: they must be"),
        ([8, 8], None, "dims: they must be"),
        ([4, 8], [1.0], "weight above 0 for each"),
        ([4, 8], [1.0, 0.0], "weight above 0 for each"),
    ],
)
def test_wrong_dims_and_weights_are_refused_before_training(dims, weights, message):
    with pytest.raises(ValueError, match=message):
        MatryoshkaLoss(triplet(), dims, weights, embedding_size=8)


def test_without_the_size_dims_are_checked_at_the_first_batch():
    with pytest.raises(ValueError, match="embedding's own 8"):
        MatryoshkaLoss(triplet(), [4, 16])(embeddings(), LABELS)


@pytest.mark.parametrize(
    "loss",
    [ArcFaceLoss(3, 8), ClassifierLoss(3, 8), CrossBatchMemory(TripletMarginLoss(), 8)],
    ids=lambda loss: type(loss).__name__,
)
def test_a_loss_whose_own_weights_fit_one_length_is_refused_with_what_to_do(loss):
    with pytest.raises(
        ValueError, match=f"{type(loss).__name__} has its own weights .*Use a loss over pairs"
    ):
        MatryoshkaLoss(loss, [4, 8])
