import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import faiss
import numpy as np
from rich.progress import track

from vsearch.indexes.base import Index
from vsearch.indexes.candidates import Candidate
from vsearch.indexes.choice import Losses, Measured
from vsearch.indexes.timing import Clock, in_turn

K = 10
ROUNDS = 5
SINGLES = 10  # counted single searches in a round
BATCH = 64
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A candidate's index, with one of its settings."""

    candidate: Candidate
    setting: dict[str, float]
    index: Index
    build_s: float  # this and the bytes are of the index that was built first
    bytes_per_vector: float

    def give(self) -> None:
        """Give the index this setting; one without settings has nothing to take."""
        if self.setting:
            self.index.set(**self.setting)  # type: ignore[attr-defined]

    def search(self, queries: np.ndarray) -> None:
        """Search for the K best hits."""
        self.give()
        self.index.search(queries, K)


def build(candidates: Sequence[Candidate], vectors: np.ndarray) -> list[Trial]:
    """Build each candidate's index of vectors (m, dim) once; return it with each of its settings.

    A candidate that can't be built is left out, and logged; a ValueError if none can be.
    """
    trials = []
    refused = ""
    for candidate in track(candidates, f"Building {len(candidates)} indexes to try"):
        index = candidate.make(len(vectors))
        start = time.perf_counter()
        try:
            index.build(vectors)
        except ValueError as error:
            refused = f"{index.spec} can't be a candidate: {error}"
            logger.warning("AutoIndex: %s", refused)
            continue
        build_s = time.perf_counter() - start
        size = stored_bytes(index) / len(vectors)
        trials += [Trial(candidate, each, index, build_s, size) for each in candidate.settings]
    if not trials:
        raise ValueError(refused)
    return trials


def rebuilt(trials: Sequence[Trial], vectors: np.ndarray) -> list[Trial]:
    """Return trials with indexes of all vectors (n, dim), one for each candidate."""
    indexes = {}
    candidates = dict.fromkeys(trial.candidate for trial in trials)
    for candidate in track(candidates, f"Indexing {len(vectors):,} vectors"):
        indexes[candidate] = candidate.make(len(vectors))
        indexes[candidate].build(vectors)
    return [replace(trial, index=indexes[trial.candidate]) for trial in trials]


def measure(
    trials: Sequence[Trial],
    reference: "Reference",
    n: int,
    judge: Callable[[Index], Losses] | None = None,
    clock: Clock = time.perf_counter,
) -> list[Measured]:
    """Measure indexes of a reference's m vectors, with its queries.

    Times are medians over rounds in which all take turns, so that other work on the machine slows
    all of them. From m vectors to the wanted n, bytes grow with n, and times as `growth` says.
    Memory is the files' size, since FAISS reads them as they are. `judge` says what users lose.
    """
    queries = reference.queries
    alone = queries[: SINGLES + 1, None]
    batch = np.resize(queries, (BATCH, queries.shape[1]))
    singles = [[partial(trial.search, query) for query in alone] for trial in trials]
    batches = [[partial(trial.search, batch)] for trial in trials]
    rounds = track(range(ROUNDS), f"Measuring {len(trials)} candidates")
    seconds = in_turn([*singles, *batches], rounds, clock)

    rows = []
    for number, trial in enumerate(trials):
        trial.give()
        spec = trial.index.spec
        ms = 1000 * (n / len(reference.vectors)) ** growth(spec)
        row = Measured(
            spec=spec,
            recall_at_10=reference.recall_at_10(trial.index),
            single_ms=ms * seconds[number],
            batch_ms=ms * seconds[len(trials) + number] / BATCH,
            memory_bytes=round(trial.bytes_per_vector * n),
            build_s=trial.build_s,
            losses=judge(trial.index) if judge else {},
        )
        rows.append(row)
    return rows


def growth(spec: str) -> float:
    """Return the power of n with which a search's time grows, if it is to find as much.

    Measured by `benchmarks.search` on 100,000 and 1,000,000 synthetic vectors of 256 dimensions.
    """
    if "HNSW" in spec:
        return 0.4
    return 0.3 if "IVF" in spec else 1.0


def right(positions: np.ndarray, cosines: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return which hits (q, k) reach the exact k-th best, bool (q, k), so ties don't matter.

    `positions` are -1 for empty places, `cosines` (q, k) the hits' exact ones, and `limits` (q,)
    the k-th best of each query.
    """
    return (cosines >= limits[:, None] - 1e-5) & (positions >= 0)


@dataclass(frozen=True)
class Reference:
    """Queries, and the exact K-th best that each has among all of an index's vectors.

    If the queries are some of the vectors, at the positions `own`, these don't count as hits.
    """

    vectors: np.ndarray  # float32 (n, dim)
    queries: np.ndarray  # float32 (q, dim)
    own: np.ndarray | None = None  # int64 (q,)

    @cached_property
    def limits(self) -> np.ndarray:
        """The K-th best cosines (q,)."""
        best, _ = faiss.knn(self.queries, self.vectors, self.k, faiss.METRIC_INNER_PRODUCT)
        return best[:, -1]

    @property
    def k(self) -> int:
        """How many hits to ask for: a query that is one of the vectors is its own first hit."""
        return min(K if self.own is None else K + 1, len(self.vectors))

    def recall_at_10(self, index: Index) -> float:
        """Return the share (0..1) of the exact K best that an index of the vectors finds."""
        positions = index.search(self.queries, self.k)[1]
        cosines = np.einsum("qd,qkd->qk", self.queries, self.vectors[positions])
        counted = right(positions, cosines, self.limits)
        wanted = self.k
        if self.own is not None:
            counted &= positions != self.own[:, None]
            wanted -= 1
        return float(np.minimum(counted.sum(axis=1), wanted).mean() / wanted)


def stored_bytes(index: Index) -> int:
    """Return the index's bytes on disk."""
    with TemporaryDirectory() as folder:
        return sum((Path(folder) / name).stat().st_size for name in index.save(Path(folder)))
