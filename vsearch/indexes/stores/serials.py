import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

# Serials per millisecond: int64 lasts until 2248. A larger write runs ahead of the clock.
ROWS = 1 << 20
RANGES = 32  # most in a condition


@dataclass(frozen=True)
class Where:
    """A condition on rows: in one of the ranges and not `hidden`, or in `listed` if not None."""

    ranges: tuple[tuple[int, int], ...] = ()  # first and last serial of each, rising
    hidden: Sequence[int] = ()
    listed: np.ndarray | None = None
    loose: bool = False  # others may meet it too


def first_serial(after: int) -> int:
    """Return the first of a new block of serials: from this millisecond, and above `after`.

    So no serial is used twice, whatever was deleted.
    """
    return max(int(time.time() * 1000) * ROWS, after + 1)


def where(serials: np.ndarray, limit: int) -> Where:
    """Return a short condition that int64 (m,) rising serials, at least 1, meet.

    The widest gaps lie between ranges. What is missing within ranges is hidden. If that is more
    than the serials, they are listed. If both are more than `limit`, nothing is hidden: others may
    meet the condition too, it is `loose`.
    """
    gaps = np.diff(serials) - 1
    places = np.flatnonzero(gaps)  # of the serials before a gap
    places = places[np.argsort(-gaps[places], kind="stable")]
    cuts = np.sort(places[: RANGES - 1])
    narrow = places[RANGES - 1 :]

    n_hidden = int(gaps[narrow].sum())
    if len(serials) <= min(n_hidden, limit):
        return Where(listed=serials)

    firsts = serials[np.append(0, cuts + 1)].tolist()
    lasts = serials[np.append(cuts, len(serials) - 1)].tolist()
    ranges = tuple(zip(firsts, lasts, strict=True))
    if n_hidden > limit:
        return Where(ranges, loose=True)
    starts = (serials[narrow] + 1).tolist()
    stops = serials[narrow + 1].tolist()
    return Where(ranges, list(chain.from_iterable(map(range, starts, stops))))
