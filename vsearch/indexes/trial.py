import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from vsearch.indexes.base import Index
from vsearch.indexes.candidates import Candidate
from vsearch.indexes.choice import Measured

K = 10
ROUNDS, SINGLES, BATCH = 5, 10, 64
Clock = Callable[[], float]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tried:
    """A candidate with one of its settings, in the trial's index."""

    candidate: Candidate
    setting: dict[str, float]
    index: Index
    build_s: float
    bytes: int

    def search(self, queries: np.ndarray) -> np.ndarray:
        """Return the positions (q, K) of the best hits."""
        if self.setting:
            self.index.set(**self.setting)  # type: ignore[attr-defined]
        return self.index.search(queries, K)[1]


def build_all(
    candidates: Sequence[Candidate], vectors: np.ndarray, built: Callable[[], None] = lambda: None
) -> list[Tried]:
    """Build each candidate's index of unit vectors (m, dim) once; return it with each of its
    settings.

    A candidate that can't be built from so few vectors is left out, and logged. `built` is called
    after each.

    Raises:
        ValueError: none could be built.
    """
    found, refused = [], []
    for candidate in candidates:
        start = time.perf_counter()
        index = candidate.make(len(vectors))
        try:
            index.build(vectors)
        except ValueError as error:
            refused.append(f"{index.spec} is no candidate: {error}")
            logger.warning("AutoIndex: %s", refused[-1])
        else:
            build_s = time.perf_counter() - start
            size = stored_bytes(index)
            found += [
                Tried(candidate, setting, index, build_s, size) for setting in candidate.settings
            ]
        built()
    if not found:
        raise ValueError("; ".join(refused))
    return found


def measure(
    tried: Sequence[Tried],
    vectors: np.ndarray,
    queries: np.ndarray,
    n: int,
    clock: Clock = time.perf_counter,
    done: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Measure recall and times with held-out queries (q, dim) on the vectors (m, dim) that the
    trial's indexes hold.

    Times are medians over rounds in which all take their turn, so that what slows the machine down
    slows all. Bytes and times are brought from m vectors to the n that are wanted: bytes grow with
    n, times as `growth` says. Bytes in memory are those of the files, which FAISS reads as they
    are. `done` is called after each round.
    """
    exact = queries @ vectors.T
    limits = kth_best(exact, K)
    recalls, specs = [], []
    for one in tried:
        recalls.append(found_share(one.search(queries), exact, limits))
        specs.append(one.index.spec)
    singles = [
        [lambda one=one, q=q: one.search(q) for q in queries[: SINGLES + 1, None]] for one in tried
    ]
    batch = np.resize(queries, (BATCH, queries.shape[1]))
    batches = [[lambda one=one: one.search(batch)] for one in tried]
    single_s, batch_s = in_turn(singles, ROUNDS, clock, done), in_turn(batches, ROUNDS, clock, done)
    share = n / len(vectors)
    rows = []
    for one, spec, recall, alone, together in zip(
        tried, specs, recalls, single_s, batch_s, strict=True
    ):
        slower, size = 1000 * share ** growth(spec), round(one.bytes * share)
        rows.append(
            Measured(
                spec, recall, slower * alone, slower * together / BATCH, size, size, one.build_s
            )
        )
    return rows


def in_turn(
    calls: Sequence[Sequence[Callable[[], Any]]],
    rounds: int,
    clock: Clock = time.perf_counter,
    done: Callable[[], None] = lambda: None,
) -> list[float]:
    """Time several lists of calls, `rounds` times in turn; return the median seconds of a call of
    each list.

    Of several calls, the first of each round is not counted: it finds other data than its own in
    the caches.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for own, found in zip(calls, seconds, strict=True):
            times = []
            for call in own:
                start = clock()
                call()
                times.append(clock() - start)
            found += times[1:] or times
        done()
    return [median(found) for found in seconds]


def growth(spec: str) -> float:
    """Return the power of n that a search's time grows with: 0 for a graph (log n), 1/2 for 4
    sqrt(n) lists, else 1.
    """
    return 0.0 if "HNSW" in spec else 0.5 if "IVF" in spec else 1.0


def kth_best(exact: np.ndarray, k: int) -> np.ndarray:
    """Return each query's k-th best (q,) of all its cosines (q, n); k is lowered to n."""
    k = min(k, exact.shape[1])
    return np.partition(exact, -k, axis=1)[:, -k]


def found_share(positions: np.ndarray, exact: np.ndarray, limits: np.ndarray) -> float:
    """Return the share (0..1) of places (q, k) with a hit that reaches the exact k-th best, so that
    ties don't matter.

    Args:
        positions: int (q, k), -1 where a place is empty.
        exact: float (q, n), all cosines.
        limits: float (q,), the k-th best of each query.
    """
    reached = np.take_along_axis(exact, np.maximum(positions, 0), axis=1) >= limits[:, None] - 1e-5
    return float((reached & (positions >= 0)).mean())


def stored_bytes(index: Index) -> int:
    """Return what the index takes on the disk."""
    with TemporaryDirectory() as folder:
        return sum((Path(folder) / name).stat().st_size for name in index.save(Path(folder)))
