import torch
from torch import Tensor

from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.runtimes.base import ExplainError

TOLERANCE = 1e-4  # of the features' length: float32 sums depend on the order
TOLERANCE_IN_BFLOAT16 = 2e-2


def can_split(embedder: Embedder) -> bool:
    """Return whether the scores of a network in eval mode split: tried on one photo of noise."""
    size = embedder.preprocessing.size
    noise = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            positions(embedder, noise)
    except ExplainError:
        return False
    return True


def positions(embedder: Embedder, photos: Tensor) -> Tensor:
    """Return each position's embedding, (B, dim, h, w), of normalised photos (B, 3, S, S).

    Raises:
        ExplainError: the network doesn't pool by the average, has no feature map, has a head that
            isn't linear, or embeds several views of a photo.
    """
    if embedder.preprocessing.views:
        raise ExplainError("an embedding is the mean of several views: a score doesn't split")
    head = embedder.head
    if head is not None and not isinstance(head, LinearHead):
        raise ExplainError(f"the head {type(head).__name__} isn't linear: a score doesn't split")
    features = embedder.backbone(photos)
    maps = embedder.backbone.feature_map(photos)
    if maps is None:
        raise ExplainError(
            f"{_named(embedder)} has no feature map that it averages: a score doesn't split"
        )
    if not _close(maps.mean((2, 3)), features):
        raise ExplainError(
            f"{_named(embedder)} does more than average its feature map: a score doesn't split"
        )
    return of_maps(embedder, maps)


def of_maps(embedder: Embedder, maps: Tensor) -> Tensor:
    """Return each position's embedding, (B, dim, h, w), of feature maps (B, C, h, w)."""
    if embedder.head is None:
        return maps
    channels_last = maps.permute(0, 2, 3, 1)
    rows = embedder.head(channels_last.flatten(0, 2))
    return rows.reshape(-1, *channels_last.shape[1:3], embedder.dim).permute(0, 3, 1, 2)


def _close(means: Tensor, features: Tensor) -> bool:
    if means.shape != features.shape:
        return False
    tolerance = TOLERANCE_IN_BFLOAT16 if features.dtype == torch.bfloat16 else TOLERANCE
    return bool((means - features).norm() <= tolerance * features.norm())


def _named(embedder: Embedder) -> str:
    name = getattr(embedder.backbone, "name", "")
    return f"{type(embedder.backbone).__name__}{f' {name}' if name else ''}"
