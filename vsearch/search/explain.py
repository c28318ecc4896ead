import torch
from torch import Tensor

from vsearch.errors import VsearchError
from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead

TOLERANCE = 1e-4  # of the features' length: float32 sums in another order


class ExplainError(VsearchError):
    """The network's scores don't split over positions; the message says why."""


def can_explain(embedder: Embedder) -> bool:
    """Say whether `explain` works for this network, in eval mode: tried on one photo of noise."""
    size = embedder.preprocessing.size
    noise = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0))
    try:
        _positions(embedder, noise)
    except ExplainError:
        return False
    return True


def explain(embedder: Embedder, query: Tensor, item: Tensor) -> tuple[float, Tensor, Tensor]:
    """Split a score over the positions of both photos' feature maps: each position's part, negative
    ones too.

    With average pooling, and no head or a linear one, the unnormalised embedding is the mean of the
    positions' own, so the cosine is the sum over positions of (the position's embedding . the other
    photo's unit embedding) / (positions * length of the mean): Stylianou, Souvenir & Pless 2019,
    "Visualizing Deep Similarity Networks", section 3. A linear head's bias is spread evenly: each
    position has it whole before the mean is taken.

    Args:
        embedder: in eval mode.
        query: normalised photo, float (3, s, s).
        item: another.

    Returns:
        The score (cosine, -1..1), and the parts of the query and of the item, float32 (h, w): each
        map sums to the score, but for rounding. An index that keeps codes may give another score
        than this exact one.

    Raises:
        ExplainError: the network pools otherwise than by the average, has no feature map, or has a
            head that isn't linear; `can_explain` says so beforehand.
    """
    with torch.inference_mode():
        maps = [_positions(embedder, photo[None]) for photo in (query, item)]
        units = [torch.nn.functional.normalize(own.mean((1, 2)), dim=0, eps=1e-30) for own in maps]
        parts = [
            torch.einsum("dhw,d->hw", own, other)
            / (own[0].numel() * own.mean((1, 2)).norm().clamp(min=1e-30))
            for own, other in zip(maps, reversed(units), strict=True)
        ]
    return float(units[0] @ units[1]), parts[0].float(), parts[1].float()


def _positions(embedder: Embedder, photo: Tensor) -> Tensor:
    """Return each position's embedding, float64 (dim, h, w), whose mean is the photo's before it is
    normalised.

    Raises:
        ExplainError: there is no such thing.
    """
    backbone, head = embedder.backbone, embedder.head
    if head is not None and not isinstance(head, LinearHead):
        raise ExplainError(f"the head {type(head).__name__} isn't linear: a score doesn't split")
    with torch.inference_mode():
        features, found = backbone(photo), backbone.feature_map(photo)
        if found is None:
            raise ExplainError(
                f"{_named(embedder)} has no feature map that it averages: a score doesn't split"
            )
        if not _close(found.mean((2, 3)), features):
            raise ExplainError(
                f"{_named(embedder)} does more than average its feature map: a score doesn't split"
            )
        rows = found.flatten(2)[0].T  # (positions, C)
        made = rows if head is None else head(rows)
        return made.double().T.reshape(-1, *found.shape[2:])


def _close(means: Tensor, features: Tensor) -> bool:
    if means.shape != features.shape:
        return False
    return bool((means - features).norm() <= TOLERANCE * features.norm())


def _named(embedder: Embedder) -> str:
    name = getattr(embedder.backbone, "name", "")
    return f"{type(embedder.backbone).__name__}{f' {name}' if name else ''}"
