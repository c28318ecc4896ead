import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import Tensor


def active_share(
    embeddings: Tensor, triplets: tuple[Tensor, ...], loss: TripletMarginLoss
) -> Tensor:
    """Share (0..1) of mined triplets that still violate the margin: d(a, p) - d(a, n) + margin > 0.

    Args:
        embeddings: float (B, dim), unit length.
        triplets: positions of anchors, positives and negatives, int (t,) each.
        loss: gives the margin, the distance, and `swap` (the nearer of d(a, n) and d(p, n)).
    """
    anchor, positive, negative = triplets
    if len(anchor) == 0:
        return embeddings.new_zeros(())
    distance = loss.distance(embeddings)
    to_negative = distance[anchor, negative]
    if loss.swap:
        to_negative = loss.distance.smallest_dist(to_negative, distance[positive, negative])
    violation = loss.distance.margin(distance[anchor, positive], to_negative) + loss.margin
    return (violation > 0).float().mean()


def geometry(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Describe a batch of unit vectors (B, dim) with labels (B,).

    Returns:
        positive_distance_l2sq, negative_distance_l2sq: mean squared distance (0..4) of pairs with
            one label and with two; nan without such a pair.
        embedding_spread: 1 - |mean vector|^2 (0..1): 0 when all embeddings are one point.
    """
    distance_l2sq = 2 - 2 * embeddings @ embeddings.T
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return {
        "positive_distance_l2sq": _mean(distance_l2sq, same & ~itself),
        "negative_distance_l2sq": _mean(distance_l2sq, ~same),
        "embedding_spread": 1 - embeddings.mean(dim=0).square().sum(),
    }


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values, nan if there are none."""
    # Indexing would have to wait for the GPU.
    return values.where(chosen, 0).sum() / chosen.sum()
