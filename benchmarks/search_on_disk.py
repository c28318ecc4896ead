"""Search codes in memory, and compare the best hits again with whole vectors that are only on disk.

    python -m benchmarks.search_on_disk EMBEDDINGS.parquet [--factory PQ512x4fs,RFlat] [--k_factor
    2,3,4,10]

The index is saved and opened with its files mapped, as `mmap: true` does. Prints, for each
k_factor_rf, recall@10 and milliseconds with one thread: of single searches (medians) and of a batch
of all queries, per query, with all vectors in the page cache; and of single searches with all
vectors evicted from memory before each (Linux' MADV_PAGEOUT), so that those compared again come
from disk. Then IndexFlatL2's, and the bytes per vector: of the files, and of the files without the
vectors, which must stay in memory.
"""

import argparse
import ctypes
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import faiss
import numpy as np

from benchmarks.search import SINGLES, K, load, recall
from vsearch.indexes.faiss import FILE, FaissIndex
from vsearch.indexes.faiss_files import read

MADV_PAGEOUT, PAGE = 21, 4096


def saved(factory: str, gallery: np.ndarray, folder: Path) -> int:
    """Build with all threads, save and sync; return the bytes of the files."""
    index = FaissIndex(factory)
    index.build(gallery)
    names = index.save(folder)
    with (folder / FILE).open("rb+") as file:
        os.fsync(file.fileno())  # pages that aren't written yet can't be put out
    return sum((folder / name).stat().st_size for name in names)


def put_out(vectors: faiss.IndexFlat) -> None:
    """Take a mapped index's vectors out of memory."""
    address, length = int(vectors.get_xb()), vectors.ntotal * vectors.d * 4
    start, end = -(-address // PAGE) * PAGE, (address + length) // PAGE * PAGE
    if ctypes.CDLL(None, use_errno=True).madvise(
        ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_PAGEOUT
    ):
        raise OSError(ctypes.get_errno(), "madvise: this needs Linux 5.4 or newer")


def timed_ms(index: faiss.Index, queries: np.ndarray) -> float:
    """Return the milliseconds that a search takes."""
    start = time.perf_counter()
    index.search(queries, K)
    return 1000 * (time.perf_counter() - start)


def single_ms(index: faiss.Index, queries: np.ndarray, cold: bool) -> float:
    """Return the median milliseconds of single searches; `cold`: with no whole vector in memory."""
    times = []
    for query in queries[:SINGLES]:
        if cold:
            put_out(faiss.downcast_index(index.refine_index))
        times.append(timed_ms(index, query[None]))
    return median(times)


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--factory", default="PQ512x4fs,RFlat", help="codes, then RFlat")
    parser.add_argument(
        "--k_factor", default="2,3,4,10", help="how many times k hits are compared again"
    )
    parser.add_argument("--queries", type=int, default=500)
    args = parser.parse_args()
    if not args.factory.endswith(",RFlat"):
        parser.error(f"--factory {args.factory}: it has to end in ,RFlat")
    gallery, queries = load(args.embeddings, args.queries)
    exact = queries @ gallery.T
    print(
        f"{args.factory}, {len(gallery):,} x {gallery.shape[1]}, {len(queries)} queries, one "
        "thread\n"
    )
    print("| k_factor_rf | recall@10 | single ms | batch ms | single ms, vectors from the disk |")
    print("| --- " * 5 + "|")
    with tempfile.TemporaryDirectory() as folder:
        n_bytes = saved(args.factory, gallery, Path(folder))
        index = read(Path(folder) / FILE, mmap=True)
        faiss.omp_set_num_threads(1)
        for k_factor in map(float, args.k_factor.split(",")):
            index.k_factor = k_factor
            found = recall(index.search(queries, K)[1], exact)
            batch = timed_ms(index, queries) / len(queries)
            cached, cold = (single_ms(index, queries, cold) for cold in (False, True))
            print(f"| {k_factor:g} | {found:.3f} | {cached:.2f} | {batch:.2f} | {cold:.2f} |")
    whole = faiss.IndexFlatL2(gallery.shape[1])
    whole.add(gallery)
    batch = timed_ms(whole, queries) / len(queries)
    print(
        f"| IndexFlatL2 | 1.000 | {single_ms(whole, queries, cold=False):.2f} | {batch:.2f} | |\n"
    )
    rest = n_bytes - 4 * gallery.size
    print(
        f"bytes a vector: {n_bytes / len(gallery):.0f} on the disk, {rest / len(gallery):.0f} in "
        "memory"
    )


if __name__ == "__main__":
    main()
