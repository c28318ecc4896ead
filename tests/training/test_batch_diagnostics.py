import math

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import TripletMarginLoss
from torch.nn.functional import normalize

from vsearch.training.batch_diagnostics import active_share, geometry


def batch(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return normalize(torch.randn(n, 5, generator=generator), dim=1), torch.arange(n) % 3


def test_active_share_against_a_loop():
    embeddings, _ = batch()
    triplets = tuple(
        torch.randint(12, (40,), generator=torch.Generator().manual_seed(seed)) for seed in range(3)
    )
    active = 0
    for a, p, n in zip(*triplets, strict=True):
        positive = math.dist(embeddings[a].tolist(), embeddings[p].tolist())
        negative = math.dist(embeddings[a].tolist(), embeddings[n].tolist())
        active += positive - negative + 0.3 > 0
    assert 0 < active < 40
    assert active_share(embeddings, triplets, TripletMarginLoss(0.3)).item() == pytest.approx(
        active / 40
    )


def test_active_share_by_hand_and_without_triplets():
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    one = (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))  # 0 - sqrt(2) + margin
    assert active_share(embeddings, one, TripletMarginLoss(0.3)) == 0
    assert active_share(embeddings, one, TripletMarginLoss(1.5)) == 1
    none = (torch.tensor([], dtype=torch.long),) * 3
    assert active_share(embeddings, none, TripletMarginLoss(0.3)) == 0


def test_active_share_is_that_of_the_losss_own_distance_and_swap():
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    one = (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    cosine = (
        CosineSimilarity()
    )  # cos(a, n) - cos(a, p) = 0 - 0.6, cos(p, n) - cos(a, p) = 0.8 - 0.6
    assert active_share(embeddings, one, TripletMarginLoss(0.5, distance=cosine)) == 0
    assert active_share(embeddings, one, TripletMarginLoss(0.7, distance=cosine)) == 1
    assert active_share(embeddings, one, TripletMarginLoss(0.5, distance=cosine, swap=True)) == 1


def test_geometry_against_a_loop():
    embeddings, labels = batch()
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]

    def mean(same: bool) -> float:
        wanted = [(i, j) for i, j in pairs if (labels[i] == labels[j]).item() == same]
        return sum((embeddings[i] - embeddings[j]).square().sum().item() for i, j in wanted) / len(
            wanted
        )

    found = geometry(embeddings, labels)
    assert found["positive_distance_l2sq"].item() == pytest.approx(mean(True), abs=1e-5)
    assert found["negative_distance_l2sq"].item() == pytest.approx(mean(False), abs=1e-5)


def test_spread_of_one_point_is_zero_and_of_opposite_points_is_one():
    point = torch.tensor([[1.0, 0.0]])
    assert geometry(point.repeat(4, 1), torch.arange(4))[
        "embedding_spread"
    ].item() == pytest.approx(0)
    assert geometry(torch.cat([point, -point]), torch.arange(2))[
        "embedding_spread"
    ].item() == pytest.approx(1)


def test_a_batch_of_one_label_has_no_negative_distance():
    assert geometry(batch(2)[0], torch.zeros(2))["negative_distance_l2sq"].isnan()
