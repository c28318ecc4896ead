import torch
from torch import Tensor


def active_share(embeddings: Tensor, triplets: tuple[Tensor, ...], margin: float) -> Tensor:
    """Share (0..1) of mined triplets that still violate the margin: |a - p| - |a - n| + margin > 0.

    Args:
        embeddings: float (B, dim), unit length.
        triplets: positions of anchors, positives and negatives, int (t,) each.
        margin: in Euclidean distance, as in pytorch-metric-learning's TripletMarginLoss.
    """
    anchor, positive, negative = (embeddings[positions] for positions in triplets)
    if len(anchor) == 0:
        return embeddings.new_zeros(())
    violation = (anchor - positive).norm(dim=1) - (anchor - negative).norm(dim=1) + margin
    return (violation > 0).float().mean()


def geometry(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Describe a batch of unit vectors (B, dim) with labels (B,).

    Returns:
        positive_distance_l2sq, negative_distance_l2sq: mean squared distance (0..4) of pairs of one label and of two;
            nan when there is no such pair.
        embedding_spread: 1 - |mean vector|^2 (0..1): 0 when all embeddings are one point.
    """
    distance_l2sq = 2 - 2 * embeddings @ embeddings.T
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return {
        "positive_distance_l2sq": distance_l2sq[same & ~itself].mean(),
        "negative_distance_l2sq": distance_l2sq[~same].mean(),
        "embedding_spread": 1 - embeddings.mean(dim=0).square().sum(),
    }
