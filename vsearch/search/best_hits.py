from collections.abc import Sequence

import numpy as np

from vsearch.indexes.base import Index

FIRST = 64  # hits asked for first if `k` is None

# scores (cosines, float32 (h,), best first) and positions (int64 (h,))
Hits = tuple[np.ndarray, np.ndarray]


def best(
    index: Index,
    queries: np.ndarray,
    k: int | None,
    allowed: np.ndarray | None = None,
    min_score: float | None = None,
    groups: np.ndarray | None = None,
) -> list[Hits]:
    """Return each query's best hits, up to `k`, that pass `allowed`, `min_score` and `groups`.

    An index only gives the k best. So this asks for twice as many until enough are left, the last
    score is too low, or there are no more.

    Args:
        index: of n vectors.
        queries: float32 (q, dim), unit length.
        k: hits a query, 1 or more; None: all.
        allowed: bool (n,), the positions that may be found; None: all.
        min_score: the lowest cosine, -1..1, that counts.
        groups: int (n,); of items that share a number, only the best hit is kept. -1: no group.

    Raises:
        ValueError: `k` or `min_score` is out of its range.
    """
    check(k, min_score)
    if allowed is None and (k is None or groups is not None):
        allowed = np.ones(len(index), dtype=bool)  # so that the index returns k real hits
    most = len(index) if allowed is None else int(np.count_nonzero(allowed))
    found: list[Hits] = [(np.zeros(0, np.float32), np.zeros(0, np.int64))] * len(queries)
    pending = np.arange(len(queries) if most else 0)
    reach = k or FIRST
    lowest = -1 if min_score is None else min_score
    while len(pending):
        scores, positions = index.search(queries[pending], min(reach, most), allowed)
        for row, query in enumerate(pending):
            found[query] = _left(scores[row], positions[row], k, min_score, groups)
        enough = np.array([len(found[query][0]) == k for query in pending])
        ended = (positions[:, -1] < 0) | (scores[:, -1] < lowest)
        pending = pending[~(enough | ended)] if reach < most else pending[:0]
        reach *= 2
    return found


def merged(found: Sequence[Hits], k: int | None, groups: np.ndarray | None = None) -> Hits:
    """Return the best hits of several queries for one thing; an item counts by its best score.

    `found` has up to `k` hits of each query; `k` and `groups` as for `best`.
    """
    scores = np.concatenate([own for own, _ in found])
    positions = np.concatenate([own for _, own in found])
    order = np.argsort(-scores, kind="stable")
    order = order[_firsts(positions[order])]
    return _left(scores[order], positions[order], k, None, groups)


def check(k: int | None, min_score: float | None) -> None:
    """Raise a ValueError if `k` or `min_score` is out of its range."""
    if k is not None and k < 1:
        raise ValueError(f"k is {k}: it must be 1 or more, or None for all hits")
    if min_score is not None and not -1 <= min_score <= 1:
        raise ValueError(f"min_score is {min_score:g}: scores are cosines, -1..1")


def _left(
    scores: np.ndarray,
    positions: np.ndarray,
    k: int | None,
    min_score: float | None,
    groups: np.ndarray | None,
) -> Hits:
    """Return those of one query's hits that count."""
    counts = positions >= 0
    if min_score is not None:
        counts &= scores >= min_score
    kept = np.flatnonzero(counts)
    if groups is not None:
        kept = kept[_firsts(groups[positions[kept]])]
    return scores[kept[:k]], positions[kept[:k]]


def _firsts(groups: np.ndarray) -> np.ndarray:
    """Return the first position of each group, ascending; -1 means no group: each one counts."""
    alone = -1 - np.arange(len(groups))
    return np.sort(np.unique(np.where(groups < 0, alone, groups), return_index=True)[1])
