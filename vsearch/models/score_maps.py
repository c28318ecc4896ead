from dataclasses import dataclass

import numpy as np

from vsearch.models.runtimes.base import Runtime

TINY = 1e-30  # avoids division by zero for zero vectors


@dataclass(frozen=True)
class ScoreMaps:
    """A score of two photos, split over the positions of both.

    Attributes:
        score: their cosine, -1..1.
        query: float32 (h, w), each position's share, may be negative; the sum is the score.
        item: as `query`, for the other photo.
    """

    score: float
    query: np.ndarray
    item: np.ndarray


def split_score(runtime: Runtime, query: np.ndarray, item: np.ndarray) -> ScoreMaps:
    """Split a score over the positions of both photos' feature maps.

    With average pooling, and no head or a linear one, the unnormalised embedding is the mean of the
    positions' embeddings, so the cosine is the sum over positions of (the position's embedding .
    the other photo's unit embedding) / (positions * length of the mean): Stylianou, Souvenir &
    Pless 2019, "Visualizing Deep Similarity Networks", section 3. A linear head's bias is added at
    each position, so it is spread evenly.

    The score is exact; that of an index that keeps codes may differ.

    Args:
        runtime: the network.
        query: a photo, uint8 (3, S, S).
        item: another photo.

    Raises:
        ExplainError: the network has no positions; see `explains` in the manifest.
    """
    positions = runtime.embed_positions(np.stack([query, item])).astype(np.float64)
    means = positions.mean((2, 3))
    lengths = np.maximum(np.linalg.norm(means, axis=1), TINY)
    units = means / lengths[:, None]
    query_parts, item_parts = (
        np.einsum("dhw,d->hw", own, other) / (own[0].size * length)
        for own, other, length in zip(positions, units[::-1], lengths, strict=True)
    )
    score = float(units[0] @ units[1])
    return ScoreMaps(score, query_parts.astype(np.float32), item_parts.astype(np.float32))
