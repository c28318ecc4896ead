"""Time and memory of exact MAP@R over a gallery larger than memory.

    python -m benchmarks.map_at_r [--vectors 1000000] [--dim 2048] [--queries 500] [--labels 1000]

Writes synthetic vectors (one cluster per label) in float16 to a temporary folder: 4 GB for a
million of 2,048 dimensions. Scores them as `vsearch` scores a run, through StreamedIndex, and
prints MAP@R, seconds, and the peak of resident memory without the file's page cache.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.memory import kib
from benchmarks.streamed import StreamedIndex
from vsearch.evaluation.scoring import Embedded, score


def write(path: Path, labels: np.ndarray, dim: int) -> np.ndarray:
    """Write a unit vector for each label code, near its label's centre; return them as a
    memory-mapped array.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((labels.max() + 1, dim), dtype=np.float32)
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (len(labels), dim))
    for start in range(0, len(labels), 20_000):
        part = centres[labels[start : start + 20_000]]
        part += 8 * rng.standard_normal(part.shape, dtype=np.float32)
        rows[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    rows.flush()
    return np.load(path, mmap_mode="r")


class Memory(threading.Thread):
    """Notes the peak of the process's own (anonymous) resident memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_kib, self.done = 0, threading.Event()

    def run(self) -> None:
        """Look twenty times a second."""
        while not self.done.wait(0.05):
            self.peak_kib = max(self.peak_kib, kib("RssAnon"))


def main() -> None:
    """Write, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--labels", type=int, default=1000)
    args = parser.parse_args()
    codes = np.random.default_rng(1).integers(args.labels, size=args.vectors + args.queries)
    memory = Memory()
    memory.start()
    with tempfile.TemporaryDirectory() as folder:
        rows = write(Path(folder) / "vectors.npy", codes, args.dim)
        keys, n = np.arange(len(codes)), args.vectors
        gallery = Embedded(rows[:n], codes[:n], keys[:n])
        queries = Embedded(rows[n:].astype(np.float32), codes[n:], keys[n:])
        index = StreamedIndex()
        index.build(gallery.embeddings)
        start = time.perf_counter()
        scores = score(index, queries, gallery)
        seconds = time.perf_counter() - start
    memory.done.set()
    memory.join()
    print(
        f"MAP@R {scores.model['map_at_r'].mean():.4f}, chance "
        f"{scores.chance['map_at_r'].mean():.4f}"
    )
    print(
        f"{len(queries)} queries in {n:,} x {args.dim}: {seconds:.0f} s, "
        f"{memory.peak_kib / 2**20:.2f} GiB"
    )


if __name__ == "__main__":
    main()
