import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.progress import Progress

from vsearch.class_paths import build, class_path, describe, find
from vsearch.indexes.base import Index
from vsearch.indexes.candidates import Candidate, candidates, given
from vsearch.indexes.choice import Budgets, Measured, choose, table, why
from vsearch.indexes.exhaustive import Hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.trial import ROUNDS, Trial, build_all, measure

FILE = "auto.json"
SAMPLE = 50_000
HELD_OUT = 500
FEWEST = 10  # vectors below which there is nothing to try
logger = logging.getLogger(__name__)


class AutoIndex(Index):
    """Tries several kinds of index on the vectors themselves, and keeps the fastest within the
    budgets.

    Up to 500 vectors are held out as queries; candidates are built from the others, or from 50,000
    of them, and are measured by these queries: so never by vectors that they hold. The chosen one
    is then built from all vectors. With more than 50,000, times and bytes are brought to their
    number (`trial.growth`), which is an estimate, and recall is that of the sample, a little higher
    than with all: the fit's report measures the index that is served.

    Recall and bytes are the same for the same seed; times are not. Medians of interleaved rounds,
    and a tie of 10 % in which the simpler candidate is taken, keep the choice from flipping; to pin
    it, put what `describe` calls `pin` in the place of AutoIndex in the config. The trial holds all
    candidates in memory at once: for 50,000 vectors of 2,048 dimensions some 2.5 GB.

    Args:
        min_recall: share (0..1) of the exact 10 best that must be found.
        max_ms: milliseconds that a single search may take, on this machine with its threads.
        max_mib: MiB that the index may take in memory, as its files do on the disk.
        candidates: what to try, simplest first; None: what suits the number of vectors.
        sample: vectors in a trial.
        seed: of the sample and of k-means.
        threads: for building and searching.
    """

    def __init__(
        self,
        min_recall: float = 0.99,
        max_ms: float | None = None,
        max_mib: float | None = None,
        candidates: list[Index] | None = None,
        sample: int = SAMPLE,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.budgets = Budgets(min_recall, max_ms, max_mib)
        self.candidates = candidates
        self.sample = sample
        self.seed = seed
        self.threads = threads
        # An opened index imports its candidates when they are needed
        self._described: list[dict[str, Any]] = []
        self.chosen: Index | None = None
        self.found: dict[str, Any] = {"why": "", "frontier": [], "trial": {}}

    @property
    def spec(self) -> str:  # type: ignore[override]
        """What was chosen."""
        return "auto" if self.chosen is None else f"auto: {self.chosen.spec}"

    @property
    def exact(self) -> bool:
        """Whether the chosen index finds the exact hits."""
        return self.chosen is not None and self.chosen.exact

    def build(self, embeddings: np.ndarray) -> None:
        """Try the candidates, and index float32 (n, dim) unit vectors with the best.

        Raises:
            BudgetError: no candidate is within the budgets.
            ValueError: the vectors can't be indexed.
        """
        n, dim = embeddings.shape
        held = min(HELD_OUT, n // 5)
        sample = min(self.sample, n - held)
        own = [build(entry, Index) for entry in self._described] or self.candidates
        if own is None:
            offered = candidates(n, dim, sample, self.seed, self.threads)
        else:
            offered = [given(index) for index in own]
        if n < FEWEST:
            reason = f"{n} vectors are too few to try anything. The simplest was taken."
            self._build(offered[0], offered[0].settings[0], embeddings)
            self._remember(reason, [], vectors=0, queries=0)
            return

        order = np.random.default_rng(self.seed).permutation(n)
        queries = embeddings[order[:held]]
        vectors = embeddings[np.sort(order[held:][:sample])]
        trials, rows = _try(offered, vectors, queries, n)
        best = choose(rows, self.budgets)
        chosen = trials[best]
        del trials, vectors  # before the largest index is built
        self._build(chosen.candidate, chosen.setting, embeddings)
        reason = why(rows, self.budgets, best)
        self._remember(reason, table(rows, self.budgets, best), vectors=sample, queries=held)
        logger.info("AutoIndex: %s", reason)

    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors to the chosen index."""
        self._built().add(embeddings)

    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the others close up."""
        self._built().remove(positions)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """Return scores and positions, each (q, k), that the chosen index finds."""
        return self._built().search(queries, k, allowed)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions, as well as the chosen index keeps them."""
        return self._built().vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write the chosen index's files, and auto.json: its class, budgets, candidates, what all
        showed, and why.
        """
        chosen = self._built()
        try:
            described = self._described or [_described(one) for one in self.candidates or []]
        except (AttributeError, TypeError) as error:
            logger.warning(
                "AutoIndex: a new build from the opened index won't know its candidates: %s", error
            )
            described = []
        names = chosen.save(folder)
        entry = {
            "class_path": class_path(type(chosen)),
            **self._settings(),
            "candidates": described,
            **self.found,
        }
        (folder / FILE).write_text(json.dumps(entry, indent=1))
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the chosen index, and what was known of the choice.

        Raises:
            ValueError: the files are no index that AutoIndex chose, or its class can't be imported.
        """
        try:
            entry = json.loads((folder / FILE).read_text())
            kind = find(entry.pop("class_path"), Index)
            found = {key: entry.pop(key) for key in ("why", "frontier", "trial")}
            described = entry.pop("candidates", [])
            opened = cls(**entry)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{FILE} is no choice of an index: {error}") from error
        opened.chosen = kind.open(folder)
        opened.found = found
        opened._described = described
        return opened

    def __len__(self) -> int:
        return 0 if self.chosen is None else len(self.chosen)

    def describe(self) -> dict[str, Any]:
        """Return the chosen index's own description, how to pin it, why it was chosen, and what all
        showed.
        """
        if self.chosen is None:
            return super().describe()
        return {
            **self.chosen.describe(),
            "spec": self.spec,
            "pin": _pin(self.chosen),
            **self._settings(),
            **self.found,
        }

    def _settings(self) -> dict[str, Any]:
        others = {"sample": self.sample, "seed": self.seed, "threads": self.threads}
        return {**asdict(self.budgets), **others}

    def _build(
        self, candidate: Candidate, setting: dict[str, float], embeddings: np.ndarray
    ) -> None:
        index = candidate.make(len(embeddings))
        index.build(embeddings)
        if setting:
            index.set(**setting)  # type: ignore[attr-defined]
        self.chosen = index

    def _remember(
        self, reason: str, frontier: list[dict[str, Any]], vectors: int, queries: int
    ) -> None:
        trial = {"vectors": vectors, "queries": queries}
        self.found = {"why": reason, "frontier": frontier, "trial": trial}

    def _built(self) -> Index:
        if self.chosen is None:
            raise ValueError("the index is empty: build it first")
        return self.chosen


def _try(
    offered: Sequence[Candidate], vectors: np.ndarray, queries: np.ndarray, n: int
) -> tuple[list[Trial], list[Measured]]:
    """Build and measure all candidates, with a progress bar."""
    with Progress() as progress:
        building = progress.add_task(f"Building {len(offered)} indexes to try", total=len(offered))
        trials = build_all(offered, vectors, lambda: progress.advance(building))
        measuring = progress.add_task(f"Measuring {len(trials)} candidates", total=2 * ROUNDS)
        rows = measure(trials, vectors, queries, n, done=lambda: progress.advance(measuring))
    return trials, rows


def _described(index: Index) -> dict[str, Any]:
    """Return what builds a candidate again, with its own settings; raises as `describe` does."""
    if not isinstance(index, FaissIndex):
        return describe(index)
    entry = _pin(index)
    for name in ("train_sample", "seed", "threads", "mmap"):
        entry["init_args"][name] = getattr(index, name)
    return entry


def _pin(index: Index) -> dict[str, Any]:
    """Return what a config names the chosen index by."""
    entry: dict[str, Any] = {"class_path": class_path(type(index))}
    if isinstance(index, FaissIndex):
        entry["init_args"] = {"factory": index.factory, "search": index.search_parameters}
    return entry
