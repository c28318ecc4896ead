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
from vsearch.indexes.stores.named_hosts import check_stored_url
from vsearch.indexes.trial import ROUNDS, Trial, build_all, measure

FILE = "auto.json"
SAMPLE = 50_000
HELD_OUT = 500
FEWEST = 10  # vectors below which there is nothing to try
logger = logging.getLogger(__name__)


class AutoIndex(Index):
    """Tries several kinds of index on the vectors, and keeps the fastest within the budgets.

    Up to 500 vectors are held out as queries. Candidates are built from the others, or from 50,000
    of them; the best one is then built from all vectors. With more than 50,000, times and bytes are
    estimated for all (`trial.growth`), and recall is the sample's, a little higher than with all:
    the fit's report measures the index that is served.

    Times differ between runs. Medians of interleaved rounds, and the simpler candidate in a tie of
    10 %, keep the choice from flipping; what `describe` calls `pin` fixes it, in the place of
    AutoIndex in the config. The trial holds all candidates in memory at once: for 50,000 vectors of
    2,048 dimensions some 2.5 GB.

    Args:
        min_recall: share (0..1) of the exact 10 best that must be found.
        max_ms: milliseconds that a single search may take.
        max_mib: MiB that the index may take.
        candidates: what to try, simplest first; None: what suits the number of vectors.
        sample: vectors in a trial.
        seed: of the sample and of k-means.
        threads: of the indexes.
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
        """Try the candidates, and index the vectors with the best.

        Raises:
            BudgetError: no candidate is within the budgets.
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
        """See `Index`."""
        self._built().add(embeddings)

    def remove(self, positions: np.ndarray) -> None:
        """See `Index`."""
        self._built().remove(positions)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`."""
        return self._built().search(queries, k, allowed)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """See `Index`."""
        return self._built().vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write the chosen index's files, and auto.json: its class, and how it was chosen."""
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
        """Open the chosen index, and what was known of the choice."""
        try:
            entry = json.loads((folder / FILE).read_text())
            kind = find(entry.pop("class_path"), Index)
            found = {key: entry.pop(key) for key in ("why", "frontier", "trial")}
            described = entry.pop("candidates", [])
            for url in [one.get("init_args", {}).get("url") for one in described]:
                if url:
                    check_stored_url(url)
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
        """Return the chosen index's own description, how to pin it, and how it was chosen."""
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
        names = ("sample", "seed", "threads")
        return asdict(self.budgets) | {name: getattr(self, name) for name in names}

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
    with Progress() as progress:
        building = progress.add_task(f"Building {len(offered)} indexes to try", total=len(offered))
        trials = build_all(offered, vectors, lambda: progress.advance(building))
        measuring = progress.add_task(f"Measuring {len(trials)} candidates", total=2 * ROUNDS)
        rows = measure(trials, vectors, queries, n, done=lambda: progress.advance(measuring))
    return trials, rows


def _described(index: Index) -> dict[str, Any]:
    """Return what builds a candidate again."""
    if not isinstance(index, FaissIndex):
        return describe(index)
    return {"class_path": class_path(type(index)), "init_args": index.settings()}


def _pin(index: Index) -> dict[str, Any]:
    """Return what a config names the chosen index by."""
    entry: dict[str, Any] = {"class_path": class_path(type(index))}
    if isinstance(index, FaissIndex):
        entry["init_args"] = {"factory": index.factory, "search": index.search_parameters}
    return entry
