from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vsearch.data.regions import Grid, Region

# Of a query: of four grids, these windows found most (docs/benchmarks-search.md)
PARTS = Grid(side=3, share=0.65)


@dataclass(frozen=True)
class MatchedParts:
    """The parts of an item's photo and of a query's that are most alike; None: the whole photo."""

    item: Region | None = None
    query: Region | None = None


def matched_parts(
    queries: np.ndarray,
    vectors: np.ndarray,
    query_regions: Sequence[Region | None],
    item_regions: Sequence[Region | None],
) -> list[MatchedParts]:
    """Return which part of a query each hit matches best, and with which part of its photo.

    Args:
        queries: of a query's parts, float32 (p, dim).
        vectors: of the hits' parts, float32 (h, r, dim).
        query_regions: the query's p parts.
        item_regions: an item's r parts.
    """
    found = []
    for own in vectors:
        scores = queries @ own.T
        query, item = np.unravel_index(scores.argmax(), scores.shape)
        found.append(MatchedParts(item_regions[item], query_regions[query]))
    return found
