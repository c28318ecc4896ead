import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np

from vsearch.data.embedding_parts import Parts, read
from vsearch.data.io.atomic import make_folder
from vsearch.errors import BundleError
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_kinds import PER_LIST, check_mergeable, inverted

TRAINED, WORK = "trained", "shards"
CODEBOOKS = 256 * 256  # vectors for codes; FAISS uses no more


@dataclass(frozen=True)
class Shards:
    """An index of complete parts, built in `n` shards: it is trained once, each shard indexes a run
    of parts, and the shards are joined.

    The folder `work` holds the trained index and the shards. Its name depends on parts, index and
    n, so a later command finds finished work.
    """

    parts: Parts
    index: FaissIndex
    n: int
    work: Path

    def runs(self) -> list[range]:
        """Return the numbers of each shard's parts."""
        edges = [len(self.parts) * number // self.n for number in range(self.n + 1)]
        return [range(*edge) for edge in pairwise(edges)]

    def folder(self, number: int) -> Path:
        """Return the path of a shard."""
        return self.work / f"{number:04d}"

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are still missing."""
        return [number for number in range(self.n) if not self.folder(number).is_dir()]

    def train(self) -> None:
        """Train the index on a sample of all embeddings, unless it is already trained."""
        if (self.work / TRAINED).is_dir():
            return
        index = FaissIndex(**self.index.settings())
        index.train(self.parts.vectors(index.sample(int(self.parts.starts[-1]))))
        self.work.mkdir(parents=True, exist_ok=True)
        make_folder(self.work / TRAINED, index.save)

    def add(self, numbers: Sequence[int], processes: int) -> Iterator[int]:
        """Make shards, each in one of several processes; yield each one's number when it is done.

        Raises:
            BundleError: the index isn't trained, or a process was killed; finished shards stay.
        """
        if not (self.work / TRAINED).is_dir():
            raise BundleError(f"{self.work}: the index isn't trained yet: run --step train first.")
        runs = self.runs()
        threads = max(1, (os.cpu_count() or 1) // processes)
        jobs = {}
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            for number in numbers:
                folder = self.folder(number)
                job = pool.submit(make_shard, self.work, folder, self.parts, runs[number], threads)
                jobs[job] = number
            try:
                for job in as_completed(jobs):
                    job.result()
                    yield jobs[job]
            except BrokenProcessPool as error:
                raise BundleError(
                    "a process that made shards was killed: too little memory for --processes "
                    f"{processes}? Finished shards are kept: run the same command again."
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)

    def joined(self, more: np.ndarray) -> FaissIndex:
        """Return the index of all shards, followed by further vectors, float32 (m, dim)."""
        if missing := self.missing():
            raise BundleError(
                f"{self.work}: {len(missing)} of {self.n} shards are missing; the first is "
                f"{missing[0]}."
            )
        index = FaissIndex(**self.index.settings())
        index.join([self.folder(number) for number in range(self.n)])
        if len(more):
            index.add(more)
        return index

    def forget(self) -> None:
        """Delete the trained index and the shards."""
        shutil.rmtree(self.work)
        if not any(self.work.parent.iterdir()):
            self.work.parent.rmdir()


def plan(parts: Parts, index: FaissIndex, n: int) -> Shards:
    """Plan an index of complete parts in at most `n` shards.

    An index without a `train_sample` gets one: k-means uses 64 vectors for a list, and more would
    only take memory.

    Raises:
        ValueError: shards of this kind can't be joined, or there are too few vectors for training.
    """
    check_mergeable(index.factory)
    total, empty = int(parts.starts[-1]), faiss.index_factory(parts.dim, index.factory)
    if index.train_sample is None and not empty.is_trained:
        ivf = inverted(empty)
        lists = 0 if ivf is None else int(ivf.nlist)
        index = FaissIndex(**{**index.settings(), "train_sample": max(PER_LIST * lists, CODEBOOKS)})
    index.check(total, parts.dim)
    n = max(1, min(n, len(parts)))
    files = [parts.file(number).stat() for number in range(len(parts))]
    what = [
        "positions count from 0 in each shard",  # earlier ones held final positions
        index.settings(),
        n,
        parts.manifest,
        [[file.st_size, file.st_mtime_ns] for file in files],
    ]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    return Shards(parts, index, n, parts.folder / WORK / digest)


def make_shard(work: Path, folder: Path, parts: Parts, run: range, threads: int) -> None:
    """Write the shard of a run of parts, in a separate process."""
    faiss.omp_set_num_threads(threads)
    index = FaissIndex.open(work / TRAINED)
    for number in run:
        _, vectors = read(parts.file(number))
        if len(vectors):
            index.add(vectors)
    make_folder(folder, index.save)
