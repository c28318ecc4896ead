import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.battery.ground import Ground, Tried
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.verify import verify
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main

Vectors = dict[str, np.ndarray]  # of items' ids
NEW = 5  # items that are added at once
WRITES_S = 0.05  # about as long as a command writes
FEWEST = 30  # items, below which nothing is removed
CLOSE = 2e-3  # generations keep float16
PRELOADED = ["__main__", "pandas", "vsearch.cli.main", "vsearch.bundle.generations.rebuild"]
PRELOADED += ["vsearch.bundle.generations.edit", "vsearch.bundle.new_items"]


@dataclass(frozen=True)
class Change:
    """A command that changes a bundle, and what the bundle holds after it."""

    words: list[str]
    wanted: Vectors


@dataclass(frozen=True)
class Ended:
    """How a command ended: with which status, after how many seconds, and what it had printed."""

    status: int
    seconds: float
    printed: str

    @property
    def acknowledged(self) -> bool:
        """Whether it said that the change is made."""
        return "Added " in self.printed or "Removed " in self.printed


def tries(ground: Ground, rng: np.random.Generator) -> Iterator[Tried]:
    """Kill `index add` and `index remove` at random moments; the bundle must stay whole."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)
    log = ground.folder / "kills.txt"
    bundle = ground.copy("kills") / "bundle"
    known = held(bundle)
    longest = 0.0
    for number in range(10**9):
        change = drawn(ground, bundle, known, number, rng)
        process = begun(processes, change.words, log)
        after_s = float(rng.uniform(0, longest)) if longest else None
        if rng.random() < 0.8:  # few of its milliseconds are those in which it writes
            until_writing(process, bundle)
            after_s = float(rng.uniform(0, WRITES_S))
        ended = killed(process, log, after_s)
        if ended.status == 0:
            longest = max(longest, ended.seconds)
        try:
            found = held(bundle)
        except Exception as error:
            tried = Tried("fault", f"the bundle can't be used: {error!r}")
        else:
            tried = judged(ended, found, known, change.wanted)
            known = found
        if tried.fault is None:
            yield tried
            continue
        kept = shutil.copytree(bundle, Path(tempfile.mkdtemp(prefix="battery-")) / "bundle")
        command = " ".join(["python -m vsearch", *change.words])
        told = f"{tried.fault}: {command}, killed after {after_s} s; the bundle of then: {kept}"
        yield Tried("fault", told)
        shutil.rmtree(bundle.parent)
        bundle = ground.copy("kills") / "bundle"
        known = held(bundle)


def judged(ended: Ended, found: Vectors, before: Vectors, wanted: Vectors) -> Tried:
    """Tell what the bundle holds after a command, and whether it may."""
    fault = None
    if ended.status not in (0, -signal.SIGKILL):
        fault = f"status {ended.status}: {ended.printed[-300:]!r}"
    elif alike(found, wanted):
        said = "acknowledged" if ended.acknowledged else "not acknowledged"
        return Tried(f"changed, {said}")
    elif ended.acknowledged:
        fault = "an acknowledged change is gone"
    elif not alike(found, before):
        fault = "it holds neither what it held nor what it should"
    return Tried("as before" if fault is None else "fault", fault)


def alike(one: Vectors, other: Vectors) -> bool:
    """Tell whether these are the same items, with the same vectors."""
    if one.keys() != other.keys():
        return False
    return all(np.allclose(one[id], other[id], atol=CLOSE) for id in one)


def held(bundle: Path) -> Vectors:
    """Return what a bundle holds, once it proves to be whole: as a user opens it, and all of it."""
    for _ in verify(bundle):
        pass
    searcher = open_bundle(bundle)
    live = open_live(bundle)
    ids = live.items["id"].to_pylist()
    vectors = live.vectors(np.arange(len(ids)))
    scores = [scores[0] for scores, _ in searcher.find(vectors, 1)]
    if len(ids) != len(searcher.items) or min(scores) < 1 - CLOSE:
        raise ValueError("the index and the items don't go together")
    return dict(zip(ids, vectors, strict=True))


def drawn(
    ground: Ground, bundle: Path, known: Vectors, number: int, rng: np.random.Generator
) -> Change:
    """Make up the next change: new items, one of them in place of one there; or some go."""
    ids = list(known)
    if number % 2 and len(ids) > FEWEST:
        gone = rng.choice(ids, NEW, replace=False).tolist()
        left = {id: vector for id, vector in known.items() if id not in gone}
        return Change(["index", "remove", str(bundle), *gone], left)
    vectors = rng.normal(size=(NEW, len(known[ids[0]]))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [str(rng.choice(ids)), *(f"k{number}-{i}" for i in range(NEW - 1))]
    table = ground.folder / "new.parquet"
    columns = {"id": names, "label": names, "embedding": list(vectors)}
    pd.DataFrame(columns).to_parquet(table)
    words = ["index", "add", str(bundle), "--embeddings", str(table), "--fingerprint", str(bundle)]
    return Change(words, {**known, **dict(zip(names, vectors, strict=True))})


def begun(
    processes: multiprocessing.context.ForkServerContext, words: list[str], log: Path
) -> BaseProcess:
    """Start a command in a process of its own; return once it has begun."""
    log.write_text("")
    process = processes.Process(target=run, args=(words, log))
    process.start()
    while process.is_alive() and not log.stat().st_size:
        time.sleep(0.0005)
    return process


def until_writing(process: BaseProcess, bundle: Path) -> None:
    """Wait until a command has begun to write a change or a generation, or has ended."""
    while process.is_alive() and not any(bundle.glob("[cg]*/.making-*")):
        time.sleep(0.0005)


def killed(process: BaseProcess, log: Path, after_s: float | None) -> Ended:
    """Kill a command after some seconds, if it is not through by then."""
    start = time.perf_counter()
    process.join(after_s)
    process.kill()
    process.join()
    return Ended(process.exitcode or 0, time.perf_counter() - start, log.read_text())


def run(words: list[str], log: Path) -> None:
    """Run a command that prints into a file, line by line."""
    sys.stdout = sys.stderr = log.open("w", buffering=1)
    print("begun")
    main(words)
