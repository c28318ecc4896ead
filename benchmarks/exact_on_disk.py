"""Time and memory of exact search when the vectors are only on the disk.

    python -m benchmarks.exact_on_disk [--vectors 1000000] [--dim 2048] [--queries 100]

Builds an ExactIndex of the synthetic vectors of `benchmarks.search` in a temporary folder. Their
size on the disk and twice their size in memory must be free. Another process then opens the index,
with the vectors mapped and one thread, and searches each query twice. Prints the milliseconds of
the second time, the process's resident memory, which includes mapped vectors, and in how many
places its hits aren't those of IndexFlatL2.
"""

import argparse
import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.memory import kib
from benchmarks.search import K, synthetic
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex

QUERIES = "queries.npy"


def build(folder: Path, vectors: int, dim: int, n_queries: int) -> tuple[str, float]:
    """Write the index and the queries; return the index in words, and seconds."""
    gallery, queries = synthetic(vectors, dim, n_queries)
    start = time.perf_counter()
    index = ExactIndex()
    index.build(gallery)
    build_s = time.perf_counter() - start
    np.save(folder / QUERIES, queries)
    index.save(folder)
    return index.spec, build_s


def search(folder: Path) -> None:
    """Search each query twice, and print what it took."""
    index = ExactIndex.open(folder)
    index.threads = 1
    queries = np.load(folder / QUERIES)
    times = []
    found = []
    for query in queries:
        index.search(query[None], K)
        start = time.perf_counter()
        found.append(index.search(query[None], K)[1][0])
        times.append(1000 * (time.perf_counter() - start))
    print(f"single search: median {np.median(times):.1f} ms, slowest {max(times):.1f} ms")
    resident, own = (kib(name) / 2**20 for name in ("VmRSS", "RssAnon"))
    print(f"resident memory: {resident:.2f} GiB, {own:.2f} its own")
    wanted = FaissIndex.open(folder, mmap=True).search(queries, K)[1]
    others = (np.array(found) != wanted).sum()
    print(f"hits that IndexFlatL2 doesn't have in this place: {others} of {wanted.size}")


def main() -> None:
    """Build, search in another process, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--queries", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = get_context("spawn")
        with own.Pool(1) as pool:
            spec, build_s = pool.apply(build, (folder, args.vectors, args.dim, args.queries))
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**30
        print(f"{args.vectors:,} x {args.dim}: {spec}, {build_s:.0f} s, {size:.1f} GiB on the disk")
        os.environ["OMP_NUM_THREADS"] = "1"
        with own.Pool(1) as pool:
            pool.apply(search, (folder,))


if __name__ == "__main__":
    main()
