from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, from_numpy

from vsearch.errors import VsearchError
from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.normalising import normalise

TOLERANCE = 1e-4  # of the features' length: float32 sums in another order
TINY = 1e-30  # keeps zero vectors from dividing by zero


class ExplainError(VsearchError):
    """The network's scores don't split over positions; the message says why."""


@dataclass(frozen=True)
class ScoreMaps:
    """A score of two photos, split over the positions of both.

    Attributes:
        score: their cosine, -1..1.
        query: float32 (h, w), each position's part, negative ones too; the sum is the score.
        item: as `query`, of the other photo.
    """

    score: float
    query: np.ndarray
    item: np.ndarray


def can_split(embedder: Embedder) -> bool:
    """Say whether `split_score` works for a network in eval mode: tried on one photo of noise."""
    size = embedder.preprocessing.size
    noise = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0))
    try:
        _positions(embedder, noise)
    except ExplainError:
        return False
    return True


def split_score(embedder: Embedder, query: np.ndarray, item: np.ndarray) -> ScoreMaps:
    """Split a score over the positions of both photos' feature maps.

    With average pooling, and no head or a linear one, the unnormalised embedding is the mean of the
    positions' own, so the cosine is the sum over positions of (the position's embedding . the other
    photo's unit embedding) / (positions * length of the mean): Stylianou, Souvenir & Pless 2019,
    "Visualizing Deep Similarity Networks", section 3. A linear head's bias is spread evenly: each
    position has it whole before the mean is taken.

    An index that keeps codes may give another score than this exact one.

    Args:
        embedder: in eval mode.
        query: a photo, uint8 (3, S, S).
        item: another.

    Raises:
        ExplainError: the network pools otherwise than by the average, has no feature map, or has a
            head that isn't linear; `can_split` says so beforehand.
    """
    with torch.inference_mode():
        photos = normalise(from_numpy(np.stack([query, item])), embedder.preprocessing)
        query_map, item_map = (_positions(embedder, photo[None]) for photo in photos)
        query_unit = _unit(query_map)
        item_unit = _unit(item_map)
        return ScoreMaps(
            float(query_unit @ item_unit),
            _parts(query_map, item_unit),
            _parts(item_map, query_unit),
        )


def _unit(positions: Tensor) -> Tensor:
    return torch.nn.functional.normalize(positions.mean((1, 2)), dim=0, eps=TINY)


def _parts(positions: Tensor, other: Tensor) -> np.ndarray:
    length = positions.mean((1, 2)).norm().clamp(min=TINY)
    products = torch.einsum("dhw,d->hw", positions, other)
    return (products / (positions[0].numel() * length)).float().numpy()


def _positions(embedder: Embedder, photo: Tensor) -> Tensor:
    """Return each position's embedding, float64 (dim, h, w); their mean is the photo's, unscaled.

    Raises:
        ExplainError: there is no such thing.
    """
    backbone = embedder.backbone
    head = embedder.head
    if head is not None and not isinstance(head, LinearHead):
        raise ExplainError(f"the head {type(head).__name__} isn't linear: a score doesn't split")

    with torch.inference_mode():
        features = backbone(photo)
        found = backbone.feature_map(photo)
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
