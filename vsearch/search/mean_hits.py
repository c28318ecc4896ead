from collections.abc import Callable

import numpy as np

from vsearch.indexes.base import Index
from vsearch.indexes.exhaustive import PIECE
from vsearch.search.best_hits import FIRST, Hits, check

Vectors = Callable[[np.ndarray], np.ndarray]  # int (m,) positions -> float32 (m, dim)


def best_means(
    index: Index,
    vectors: Vectors,
    queries: np.ndarray,
    k: int | None,
    groups: np.ndarray,
    allowed: np.ndarray | None = None,
    min_score: float | None = None,
) -> list[Hits]:
    """Return each query's best groups, up to `k`: their mean cosines, and their best photos.

    A mean is over all photos of a group that are `allowed`. It is at most that of the group's best
    photo, so a group without a photo among the index's hits can't exceed the last hit's score. This
    asks for twice as many hits until the k-th mean reaches that score, it is below `min_score`, or
    there are no more.

    Args:
        index: of n vectors.
        vectors: returns unit vectors of the index.
        queries: float32 (q, dim), unit length.
        k: groups a query, 1 or more; None: all.
        groups: int (n,), equal for photos of a group. -1: a group of its own.
        allowed: bool (n,), the positions that may be found; None: all.
        min_score: the lowest mean, -1..1, that counts.

    Raises:
        ValueError: `k` or `min_score` is out of its range.
    """
    check(k, min_score)
    may = np.ones(len(index), dtype=bool) if allowed is None else allowed
    alone = np.flatnonzero(groups < 0)
    numbers = groups.copy()
    numbers[alone] = groups.max(initial=-1) + 1 + np.arange(len(alone))
    return [_best_means(index, vectors, query, k, numbers, may, min_score) for query in queries]


def _best_means(
    index: Index,
    vectors: Vectors,
    query: np.ndarray,
    k: int | None,
    groups: np.ndarray,
    allowed: np.ndarray,
    min_score: float | None,
) -> Hits:
    lowest = -1 if min_score is None else min_score
    photos = np.flatnonzero(allowed)
    reach = len(photos) if k is None else max(k, FIRST)
    while reach < len(photos):
        hits = index.search(query[None], reach, allowed)[1][0]
        met = photos[np.isin(groups[photos], groups[hits])]
        scores = _cosines(vectors, met, query)
        means, best = _means(scores, met, groups[met], k, lowest)
        last = scores[np.searchsorted(met, hits[-1])]
        if last < lowest or (len(means) == k and means[-1] >= last):
            return means, best
        reach *= 2
    return _means(_cosines(vectors, photos, query), photos, groups[photos], k, lowest)


def _cosines(vectors: Vectors, positions: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the cosines, float32 (m,), of the vectors at int (m,) positions, PIECE at a time."""
    scores = np.empty(len(positions), np.float32)
    for start in range(0, len(positions), PIECE):
        piece = positions[start : start + PIECE]
        scores[start : start + PIECE] = vectors(piece) @ query
    return np.clip(scores, -1, 1)


def _means(
    scores: np.ndarray, photos: np.ndarray, groups: np.ndarray, k: int | None, lowest: float
) -> Hits:
    """Return the k best means of groups' scores, if not below `lowest`, and each best photo.

    Photos' scores, positions and groups are (m,); of equal scores the first position wins.
    """
    order = np.lexsort((photos, -scores, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    means = (np.add.reduceat(scores[order].astype(float), starts) / sizes).astype(np.float32)
    best = photos[order[starts]]
    ranked = np.lexsort((best, -means))
    ranked = ranked[means[ranked] >= lowest][:k]
    return means[ranked], best[ranked]
