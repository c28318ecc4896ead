import time
from dataclasses import dataclass, field

import numpy as np

# Serials per millisecond: int64 lasts until 2248. A larger write runs ahead of the clock.
ROWS = 1 << 20
RANGES = 32  # most in a condition


@dataclass(frozen=True)
class Where:
    """A condition on rows: in one of the ranges and not `hidden`, or in `listed` if not None."""

    ranges: tuple[tuple[int, int], ...] = ()  # first and last serial of each, rising
    hidden: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    listed: np.ndarray | None = None


def first_serial(after: int) -> int:
    """Return the first of a new block of serials: from this millisecond, and above `after`.

    So no serial is used twice, whatever was deleted.
    """
    return max(int(time.time() * 1000) * ROWS, after + 1)


def where(serials: np.ndarray, limit: int) -> Where | None:
    """Return the shorter condition that exactly these serials meet; None: both are too long.

    `serials`: int64 (m,), rising, at least 1; `limit`: how many a condition may list or hide.
    """
    cuts = _cuts(serials)
    ranges = _ranges(serials, cuts)
    n_hidden = sum(last - first + 1 for first, last in ranges) - len(serials)
    if len(serials) <= min(n_hidden, limit):
        return Where(listed=serials)
    return Where(ranges, _missing(serials, cuts)) if n_hidden <= limit else None


def hull(serials: np.ndarray) -> Where:
    """Return a condition that int64 (m,) rising serials meet, and others between them."""
    return Where(_ranges(serials, _cuts(serials)))


def _cuts(serials: np.ndarray) -> np.ndarray:
    """Return the places after which new ranges begin: where most serials are missing."""
    gaps = np.diff(serials) - 1
    wide = np.flatnonzero(gaps > 0)
    widest = np.argsort(gaps[wide], kind="stable")[::-1][: RANGES - 1]
    return np.sort(wide[widest])


def _ranges(serials: np.ndarray, cuts: np.ndarray) -> tuple[tuple[int, int], ...]:
    firsts = serials[np.append(0, cuts + 1)]
    lasts = serials[np.append(cuts, len(serials) - 1)]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _missing(serials: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the serials, int64 (h,), rising, that are missing within the ranges."""
    gaps = np.diff(serials) - 1
    gaps[cuts] = 0
    before = np.repeat(serials[:-1], gaps)
    starts = np.repeat(np.cumsum(gaps) - gaps, gaps)
    return before + 1 + np.arange(len(before)) - starts
