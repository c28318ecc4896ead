import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
import threadpoolctl

from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.regions import without_regions
from vsearch.indexes.trial import right, stored_bytes

KS = (1, 10, 100)
BATCHES = (1, 32, 256)
CALLS = {1: 200, 32: 50, 256: 20}  # at most, for each number of queries and of threads
SECONDS = 0.6  # at most, for each of them
TOO_LONG = 2.0  # if the first call takes this many seconds, it is the only one and counts
CHUNK = 16_000_000  # cosines held at once: 64 MB
SMALL = 16 << 20  # bytes; the memory of smaller indexes is lost in Python's own
OPENED = """
import importlib, pathlib, sys
import faiss, numpy
def resident():
    return int(open("/proc/self/statm").read().split()[1])
kind = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
before = resident()
index = kind.open(pathlib.Path(sys.argv[3]))
print(resident() - before)
"""


def quality(
    index: Index, queries: np.ndarray, gallery: np.ndarray, build_s: float
) -> dict[str, Any]:
    """Measure a built index with held-out unit vectors (q, dim): recall, latency, size.

    Returns:
        The arguments of `run_report.IndexReport` except `labels`: `exact` says whether the index by
        construction finds what exact search finds, `bytes` is its size on disk.
    """
    stored = stored_bytes(index)
    recalls = index_recalls(index, queries, gallery)
    return {
        "spec": index.spec,
        "exact": index.exact,
        "vectors": len(index),
        "bytes": stored,
        "memory_bytes": stored if stored < SMALL else resident_bytes(index),
        "build_s": build_s,
        **{f"recall_at_{k}": share for k, share in recalls.items()},
        "latency": latency(index, queries),
        **_choice(index),
    }


def _choice(index: Index) -> dict[str, Any]:
    index = without_regions(index)
    if not isinstance(index, AutoIndex):
        return {}
    return {**index.found, "prefer": index.budgets.prefer}


def index_recalls(
    index: Index,
    queries: np.ndarray,
    gallery: np.ndarray,
    ks: Sequence[int] = KS,
    sample: int = 300,
) -> dict[int, float]:
    """Return for each k the share (0..1) of the exact k best that a search for k finds.

    `gallery`: (n, dim), or with regions (n, per_item, dim). A hit counts if its exact score reaches
    the exact k-th best, so ties don't matter.
    """
    asked = queries[np.random.default_rng(0).permutation(len(queries))[:sample]]
    n_vectors = gallery.size // gallery.shape[-1]
    pieces = min(len(asked), 1 + len(asked) * n_vectors // CHUNK)
    found = dict.fromkeys(ks, 0.0)
    for piece in np.array_split(asked, pieces):
        exact = _cosines(piece, gallery)
        for k in ks:
            wanted = min(k, len(gallery))
            limits = np.partition(exact, -wanted, axis=1)[:, -wanted]
            _, positions = index.search(piece, wanted)
            cosines = np.take_along_axis(exact, np.maximum(positions, 0), axis=1)
            found[k] += right(positions, cosines, limits).mean(axis=1).sum()
    return {k: share / len(asked) for k, share in found.items()}


def _cosines(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return each item's cosine (q, n) with queries (q, dim); that of its best vector."""
    if gallery.ndim == 2:
        return queries @ gallery.T
    n, per_item, dim = gallery.shape
    found = queries @ gallery.reshape(n * per_item, dim).T
    return found.reshape(len(queries), n, per_item).max(axis=2)


def latency(
    index: Index, queries: np.ndarray, k: int = 10, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Time searches for the `k` best of unit vectors (q, dim), for `run_report.Latency`.

    It searches 1, 32 and 256 at once, with 1, 2 and all threads. The first call of each kind isn't
    counted, unless there is no time for another.
    """
    every = faiss.omp_get_max_threads()
    table = []
    for threads in sorted({1, min(2, every), every}):
        with limited(threads):
            for batch in BATCHES:
                times = _timed(index, queries, k, batch, clock)
                table.append({"batch": batch, "threads": threads, **times})

    single, batched, _ = [row for row in table if row["threads"] == every]
    return {
        "single_p50_ms": single["p50_ms"],
        "single_p99_ms": single["p99_ms"],
        "batch_p50_ms": batched["p50_ms"],
        "batch_p99_ms": batched["p99_ms"],
        "batch_size": batched["batch"],
        "threads": every,
        "table": table,
    }


def _timed(
    index: Index, queries: np.ndarray, k: int, batch: int, clock: Callable[[], float]
) -> dict[str, Any]:
    calls = queries[np.random.default_rng(0).integers(len(queries), size=(1 + CALLS[batch], batch))]
    times = []
    begun = clock()
    for asked in calls:
        start = clock()
        index.search(asked, k)
        end = clock()
        times.append(1000 * (end - start))
        if end - begun > (SECONDS if len(times) > 1 else TOO_LONG):
            break
    counted = times[1:] or times
    p50, p99 = np.percentile(counted, (50, 99)).tolist()
    return {"calls": len(counted), "p50_ms": p50, "p99_ms": p99}


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Limit FAISS's and NumPy's threads; an index with its own thread setting keeps that."""
    before = faiss.omp_get_max_threads()
    with threadpoolctl.threadpool_limits(limits=threads, user_api="blas"):
        faiss.omp_set_num_threads(threads)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(before)


def resident_bytes(index: Index) -> int | None:
    """Return how many bytes a new process's resident set grows when it opens the index.

    None without /proc, or if the index's class can't be imported there.
    """
    kind = type(index)
    with TemporaryDirectory() as folder:
        index.save(Path(folder))
        command = [sys.executable, "-P", "-c", OPENED, kind.__module__, kind.__qualname__, folder]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return int(done.stdout) * os.sysconf("SC_PAGE_SIZE") if done.returncode == 0 else None
