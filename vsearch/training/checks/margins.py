import math
from typing import Any

from pytorch_metric_learning.distances import DotProductSimilarity, LpDistance
from pytorch_metric_learning.distances.base_distance import BaseDistance
from pytorch_metric_learning.losses import ArcFaceLoss, ContrastiveLoss, TripletMarginLoss
from torch import nn

from vsearch.errors import ConfigError
from vsearch.training.checks.component_errors import inner_components

MARGINS = ("margin", "pos_margin", "neg_margin")


def check_margins(loss: nn.Module) -> None:
    """Refuse margins, also of inner losses, that unit vectors can't reach or that have no effect.

    Embeddings always have unit length. Then Euclidean distances lie in 0..2, their power q in
    0..2^q, cosine and dot product in -1..1; the two distances of a triplet differ by at most the
    width of that range. Contrastive margins must lie inside the range, and not at the end where no
    pair counts: positive pairs count while farther than `pos_margin`, negative ones while nearer
    than `neg_margin`. At the other end every pair counts, and at the full width every triplet; both
    can train. Without a triplet margin, identical embeddings have no loss. ArcFace's margin is in
    degrees: a value below 1 is probably in radians, or another loss's margin.
    """
    for key, inner in inner_components(loss, "model.loss"):
        _check_meaning(inner, f"{key}.init_args.margin")
        distance = getattr(inner, "distance", None)
        if not isinstance(distance, BaseDistance) or not any(
            hasattr(inner, name) for name in MARGINS
        ):
            continue
        if not distance.normalize_embeddings:
            raise ConfigError(
                f"{key}.init_args.distance.init_args.normalize_embeddings",
                f"{type(inner).__name__} has a margin and asks for un-normalised embeddings, but "
                "embeddings always have unit length, since search ranks by cosine: remove this",
            )
        limits = _limits(distance)
        for name, reason in _wrong(inner, distance.is_inverted, *limits):
            raise ConfigError(
                f"{key}.init_args.{name}",
                f"{getattr(inner, name)} {reason}: {type(distance).__name__} of unit vectors lies "
                f"in {limits[0]:g}..{limits[1]:g}",
            )


def _check_meaning(loss: Any, key: str) -> None:
    if isinstance(loss, TripletMarginLoss) and not loss.smooth_loss and loss.margin <= 0:
        raise ConfigError(
            key, f"{loss.margin} allows all photos to have the same embedding: set it above 0"
        )
    if isinstance(loss, ArcFaceLoss):
        degrees = math.degrees(loss.margin)
        if 0 < degrees < 1:
            raise ConfigError(
                key,
                f"{degrees:g} degrees is almost nothing: the paper has 28.6 (0.5 radians)",
            )


def _wrong(loss: Any, inverted: bool, least: float, greatest: float) -> list[tuple[str, str]]:
    if isinstance(loss, TripletMarginLoss):
        reachable = loss.smooth_loss or loss.margin <= greatest - least
        return [] if reachable else [("margin", "can't be reached")]
    if not isinstance(loss, ContrastiveLoss):
        return []
    # For inverted distances, higher is nearer; their limits are symmetric.
    sign = -1 if inverted else 1
    near = sign * loss.pos_margin
    far = sign * loss.neg_margin
    wrong = {
        ("pos_margin", "can't be reached"): near < least,
        ("neg_margin", "can't be reached"): far > greatest,
        ("pos_margin", "leaves no pair to pull together"): near >= greatest,
        ("neg_margin", "leaves no pair to push apart"): far <= least,
    }
    return [reason for reason, holds in wrong.items() if holds]


def _limits(distance: BaseDistance) -> tuple[float, float]:
    """Return the least and greatest value between unit vectors; infinite if unknown."""
    if type(distance) is LpDistance and distance.p == 2:
        return 0.0, 2.0**distance.power
    if isinstance(distance, DotProductSimilarity) and distance.power == 1:
        return -1.0, 1.0
    return float("-inf"), float("inf")
