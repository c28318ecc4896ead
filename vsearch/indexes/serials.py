import time
from dataclasses import dataclass, field

import numpy as np

ROWS = (
    1 << 20
    # serials that a millisecond stands for (int64 lasts until 2248); a larger write takes the next
    # ones
    # too
)
RANGES = 32  # that a condition may have


@dataclass(frozen=True)
class Where:
    """Which rows of a collection count: those within one of the ranges but for `hidden`, or those
    that are listed.

    Attributes:
        ranges: first and last serial of each, rising.
        hidden: int64 (h,), serials within the ranges that don't count.
        listed: int64 (m,), instead of ranges; None: the ranges say it.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    hidden: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    listed: np.ndarray | None = None


def first_serial(after: int) -> int:
    """Return the first of a new block of serials: of this millisecond, and above `after`.

    Serials are int64 and never given twice: a later write has higher ones, whatever was deleted in
    between.
    """
    return max(int(time.time() * 1000) * ROWS, after + 1)


def where(serials: np.ndarray, limit: int) -> Where | None:
    """Return the shorter condition that exactly these serials, int64 (m,), rising, fulfil; None:
    both are too long.

    Args:
        serials: m of them, 1 at least.
        limit: how many a condition may list or hide.
    """
    ranges, cuts = _ranges(serials)
    n_hidden = sum(last - first + 1 for first, last in ranges) - len(serials)
    if len(serials) <= min(n_hidden, limit):
        return Where(listed=serials)
    return Where(ranges, _missing(serials, cuts)) if n_hidden <= limit else None


def hull(serials: np.ndarray) -> Where:
    """Return a condition that these serials, int64 (m,), rising, fulfil, and those between them."""
    return Where(_ranges(serials)[0])


def _ranges(serials: np.ndarray) -> tuple[tuple[tuple[int, int], ...], np.ndarray]:
    """Return ranges around all serials, cut where most are missing, and after which place each cut
    is.
    """
    gaps = np.diff(serials) - 1
    wide = np.flatnonzero(gaps > 0)
    cuts = np.sort(wide[np.argsort(gaps[wide], kind="stable")[::-1][: RANGES - 1]])
    firsts, lasts = serials[np.append(0, cuts + 1)], serials[np.append(cuts, len(serials) - 1)]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True)), cuts


def _missing(serials: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the serials, int64 (h,), rising, that are missing between others, but for those at the
    cuts.
    """
    gaps = np.diff(serials) - 1
    gaps[cuts] = 0
    before = np.repeat(serials[:-1], gaps)
    starts = np.repeat(np.cumsum(gaps) - gaps, gaps)
    return before + 1 + np.arange(len(before)) - starts
