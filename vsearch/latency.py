import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vsearch.indexes.base import Index


def latency(index: Index, queries: np.ndarray, k: int = 10, repeats: int = 200, batch: int = 64) -> dict[str, float]:
    """Time searches for the `k` best of unit vectors (n, dim): `repeats` single ones and half as many batches.

    The index alone: no decoding, no network. One call of each kind is not counted.

    Returns:
        Milliseconds per call: single_p50_ms, single_p99_ms, batch_p50_ms, batch_p99_ms; and batch_size.
    """
    rng = np.random.default_rng(0)
    singles = queries[rng.integers(len(queries), size=repeats)][:, None]
    batches = queries[rng.integers(len(queries), size=(repeats // 2, batch))]
    single_ms, batch_ms = _time(index, singles, k), _time(index, batches, k)
    return {
        "single_p50_ms": float(np.percentile(single_ms, 50)),
        "single_p99_ms": float(np.percentile(single_ms, 99)),
        "batch_p50_ms": float(np.percentile(batch_ms, 50)),
        "batch_p99_ms": float(np.percentile(batch_ms, 99)),
        "batch_size": batch,
    }


def _time(index: Index, calls: np.ndarray, k: int, clock: Callable[[], float] = time.perf_counter) -> np.ndarray:
    index.search(calls[0], k)
    times = []
    for queries in calls:
        start = clock()
        index.search(queries, k)
        times.append(1000 * (clock() - start))
    return np.array(times)


def index_recall(index: Index, queries: np.ndarray, gallery: np.ndarray, k: int = 10, sample: int = 200) -> float:
    """Return the share (0..1) of the exact `k` best that the index finds, over a sample of queries.

    A hit counts when its exact score reaches the exact k-th best, so that ties don't matter.
    """
    asked = queries[np.random.default_rng(0).permutation(len(queries))[:sample]]
    exact = asked @ gallery.T
    k = min(k, len(gallery))
    limit = np.partition(exact, -k, axis=1)[:, -k]
    _, positions = index.search(asked, k)
    reached = np.take_along_axis(exact, np.maximum(positions, 0), axis=1) >= limit[:, None] - 1e-5
    return float((reached & (positions >= 0)).mean())


def stored_bytes(index: Index) -> int:
    """Return what the index takes on the disk."""
    with TemporaryDirectory() as folder:
        return sum((Path(folder) / name).stat().st_size for name in index.save(Path(folder)))
