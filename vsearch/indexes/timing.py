import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

Clock = Callable[[], float]


def in_turn(
    calls: Sequence[Sequence[Callable[[], Any]]],
    rounds: Iterable[int],
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Time lists of calls, which take turns in each round; return each list's median seconds.

    In a list of several, each round's first call doesn't count: the caches hold other data.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in rounds:
        for own, found in zip(calls, seconds, strict=True):
            times = []
            for call in own:
                start = clock()
                call()
                times.append(clock() - start)
            found += times[1:] or times
    return [median(found) for found in seconds]
