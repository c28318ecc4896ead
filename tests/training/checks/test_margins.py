import pytest
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from torch import nn

from vsearch.errors import ConfigError
from vsearch.training.checks.margins import check_margins


class Wrapping(nn.Module):
    """A loss around another, as CrossBatchMemory, which doesn't take every one."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        (losses.TripletMarginLoss(2.0), None),
        (
            losses.TripletMarginLoss(2.1),
            ("margin", "2.1 can't be reached: LpDistance of unit vectors lies in 0..2"),
        ),
        (losses.TripletMarginLoss(9, smooth_loss=True), None),
        (
            losses.TripletMarginLoss(0.0),
            ("margin", "0.0 allows all photos to have the same embedding"),
        ),
        (losses.TripletMarginLoss(-0.3, distance=CosineSimilarity()), ("margin", "set it above 0")),
        (losses.TripletMarginLoss(0.0, smooth_loss=True), None),
        (losses.SubCenterArcFaceLoss(num_classes=4, embedding_size=3), None),
        (losses.ArcFaceLoss(4, 3, margin=0), None),
        (losses.ArcFaceLoss(4, 3, margin=1), None),
        (losses.ArcFaceLoss(4, 3, margin=0.3), ("margin", "0.3 degrees is almost nothing")),
        (
            losses.SubCenterArcFaceLoss(num_classes=4, embedding_size=3, margin=0.5),
            ("margin", "0.5 degrees"),
        ),
        (losses.TripletMarginLoss(3.9, distance=LpDistance(power=2)), None),
        (losses.TripletMarginLoss(4.1, distance=LpDistance(power=2)), ("margin", "lies in 0..4")),
        (losses.TripletMarginLoss(2.1, distance=CosineSimilarity()), ("margin", "lies in -1..1")),
        (losses.TripletMarginLoss(3, distance=LpDistance(p=1)), None),
        (losses.ContrastiveLoss(), None),
        (losses.ContrastiveLoss(neg_margin=2), None),
        (losses.ContrastiveLoss(neg_margin=2.1), ("neg_margin", "2.1 can't be reached")),
        (losses.ContrastiveLoss(neg_margin=0), ("neg_margin", "0 leaves no pair to push apart")),
        (losses.ContrastiveLoss(pos_margin=-0.1), ("pos_margin", "can't be reached")),
        (losses.ContrastiveLoss(pos_margin=2), ("pos_margin", "2 leaves no pair to pull together")),
        (losses.ContrastiveLoss(1, 0, distance=CosineSimilarity()), None),
        (losses.ContrastiveLoss(1, -1, distance=CosineSimilarity()), None),
        (
            losses.ContrastiveLoss(1.1, 0, distance=CosineSimilarity()),
            ("pos_margin", "can't be reached"),
        ),
        (
            losses.ContrastiveLoss(distance=CosineSimilarity()),
            ("neg_margin", "1 leaves no pair to push apart"),
        ),
    ],
)
def test_margins_must_be_within_what_unit_vectors_reach(loss, wrong):
    wrapped = Wrapping(loss)
    if wrong is None:
        check_margins(loss)
        check_margins(wrapped)
        return
    setting, reason = wrong
    for given, key in (
        (loss, "model.loss.init_args"),
        (wrapped, "model.loss.init_args.loss.init_args"),
    ):
        with pytest.raises(ConfigError) as raised:
            check_margins(given)
        assert str(raised.value).startswith(f"{key}.{setting}: ")
        assert reason in str(raised.value)


def vectors() -> torch.Tensor:
    some = nn.functional.normalize(
        torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    return torch.cat([some, -some])


def test_without_a_margin_one_point_for_all_has_no_loss():
    point = torch.ones(8, 3)
    assert [
        bool(losses.TripletMarginLoss(margin)(point, torch.arange(8) // 2)) for margin in (0.3, 0.0)
    ] == [
        True,
        False,
    ]


def test_the_limits_are_those_of_the_distances():
    for distance, least, greatest in ((LpDistance(power=2), 0, 4), (CosineSimilarity(), -1, 1)):
        values = distance(vectors())
        assert values.min() == pytest.approx(least, abs=1e-3)
        assert values.max() == pytest.approx(greatest, abs=1e-3)


@pytest.mark.parametrize(
    ("loss", "learns"),
    [
        (losses.ContrastiveLoss(neg_margin=2), True),
        (losses.ContrastiveLoss(0, -1, distance=CosineSimilarity()), True),
        (losses.ContrastiveLoss(neg_margin=0), False),
        (losses.ContrastiveLoss(distance=CosineSimilarity()), False),
    ],
)
def test_only_a_margin_at_which_no_pair_counts_teaches_nothing(loss, learns):
    inputs = vectors()[:100].requires_grad_()
    loss(inputs, torch.arange(len(inputs))).backward()  # negative pairs only
    assert bool((inputs.grad.abs() > 1e-6).any()) is learns


def test_a_margin_is_no_use_where_embeddings_arent_normalised():
    distance = LpDistance(normalize_embeddings=False)
    with pytest.raises(
        ConfigError, match=r"^model\.loss\.init_args\.distance\.init_args\.normalize_embeddings: "
    ):
        check_margins(losses.TripletMarginLoss(0.2, distance=distance))
    check_margins(losses.MultiSimilarityLoss())
    check_margins(losses.NCALoss(distance=distance))
