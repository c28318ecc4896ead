import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from vsearch.class_paths import class_path, find
from vsearch.indexes.base import Index
from vsearch.indexes.candidates import candidates, given
from vsearch.indexes.choice import (
    BudgetError,
    Budgets,
    Judge,
    choose,
    finalists,
    table,
    why,
)
from vsearch.indexes.exhaustive import Hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.trial import Reference, build, measure, rebuilt

FILE = "auto.json"
SAMPLE = 50_000
HELD_OUT = 500
FEWEST = 10  # vectors; with fewer there is nothing to try
NO_JUDGE = (
    "max_label_loss and max_axis_loss need labelled queries that weren't trained on: a fit's "
    "validation photos, if they search the served gallery. Set min_recall instead."
)
EARLIER = "Chosen for earlier vectors, not these. "
logger = logging.getLogger(__name__)


class AutoIndex(Index):
    """Tries several kinds of index on the vectors, and keeps the best within the budgets.

    Up to 500 vectors are held out as queries, and candidates are built from 50,000 of the others:
    with 2,048 dimensions, all of them take about 2.5 GB. Where labels or axes decide, a `judge` has
    the queries, which weren't trained on; a fit sets it to its validation photos.

    If there are more, each setting of the best kind then searches all vectors, and so does another
    kind that would be quicker but finds a little too little of the sample. These two indexes are in
    memory at once.

    Times differ between runs. To fix the choice, replace AutoIndex in the config by `pin` of
    `describe`. An index that was opened keeps its choice when it is built again.

    Args:
        min_recall: share (0..1) of the exact 10 best to find; None: only labels decide.
        max_ms: most milliseconds for a single search.
        max_mib: most MiB for the index.
        max_label_loss: how much label precision@1 and @10 (0..1) may fall below exact search, by
            the upper end of the 95 % interval, paired by query.
        max_axis_loss: likewise for each axis's share among the 10 best.
        prefer: what to minimise within the budgets: time or memory.
        candidates: what to try, simplest first; None: what suits the number of vectors.
        sample: vectors in a trial.
        seed: of the sample and of k-means.
        threads: of the indexes.
    """

    def __init__(
        self,
        min_recall: float | None = 0.99,
        max_ms: float | None = None,
        max_mib: float | None = None,
        max_label_loss: float | None = None,
        max_axis_loss: float | None = None,
        prefer: Literal["time", "memory"] = "time",
        candidates: list[Index] | None = None,
        sample: int = SAMPLE,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.budgets = Budgets(min_recall, max_ms, max_mib, max_label_loss, max_axis_loss, prefer)
        self.judge: Judge | None = None
        self.candidates = candidates
        self.sample = sample
        self.seed = seed
        self.threads = threads
        self.chosen: Index | None = None
        self._opened = False
        self.found: dict[str, Any] = {"why": "", "frontier": [], "trial": {}}

    @property
    def spec(self) -> str:  # type: ignore[override]
        """The chosen index."""
        return "auto" if self.chosen is None else f"auto: {self.chosen.spec}"

    @property
    def exact(self) -> bool:
        """Whether the chosen index finds the exact hits."""
        return self.chosen is not None and self.chosen.exact

    def build(self, embeddings: np.ndarray) -> None:
        """Try the candidates, and index the vectors with the best.

        Raises:
            BudgetError: no candidate meets the budgets, or no judge can measure label losses.
        """
        if self._opened:
            self._built().build(embeddings)
            self.found["why"] = EARLIER + self.found["why"].removeprefix(EARLIER)
            return
        judge = self.judge if self.budgets.judged else None
        if self.budgets.judged and judge is None:
            raise BudgetError(NO_JUDGE, [])
        n, dim = embeddings.shape
        reference, rows = self._draw(embeddings, judge)
        if self.candidates is None:
            offered = candidates(n, dim, len(rows), self.seed, self.threads, judge is not None)
        else:
            offered = [given(index) for index in self.candidates]
        if n < FEWEST:
            self.chosen = offered[0].make(n)
            self.chosen.build(embeddings)
            reason = f"{n} vectors are too few for a trial. The simplest candidate was chosen."
            self.found = {"why": reason, "frontier": [], "trial": {"vectors": 0, "queries": 0}}
            return

        tried_on = Reference(embeddings[rows], reference.queries)
        trials = build(offered, tried_on.vectors)
        shown = measure(trials, tried_on, n, judge.among(rows) if judge else None)
        best = choose(shown, self.budgets)
        missed = " and ".join(self.budgets.excess(shown[best]))
        if missed:
            raise BudgetError(
                f"no index is within the budgets. Nearest: {shown[best].spec}, which {missed}.",
                table(shown, self.budgets, None),
            )
        reason = why(shown, self.budgets, best)
        sampled = len(rows) == self.sample  # and so there may be more
        again = finalists(shown, self.budgets, best) if sampled else [best]
        wanted = [trials[number] for number in again]
        del trials, tried_on  # before larger indexes are built

        of_all = rebuilt(wanted, embeddings)
        kept = of_all[again.index(best)]
        if sampled and not (len(again) == 1 and kept.index.exact):
            measured = measure(of_all, reference, n, None)
            for number, row in zip(again, measured, strict=True):
                shown[number] = replace(row, losses=shown[number].losses)
            place = choose([shown[number] for number in again], self.budgets)
            kept = of_all[place]
            best = again[place]
            missed = " and ".join(self.budgets.excess(shown[best]))
            broken = f", which {missed}" if missed else ""
            reason += f" Of all {n:,} vectors, this was kept: {shown[best]}{broken}."
        kept.give()
        self.chosen = kept.index
        searched = len(judge.queries) if judge else len(reference.queries)
        self.found = {
            "why": reason,
            "frontier": table(shown, self.budgets, best),
            "trial": {"vectors": len(rows), "queries": searched},
        }
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
        """Write the chosen index's files, and auto.json with its class and how it was chosen."""
        chosen = self._built()
        names = chosen.save(folder)
        entry = {"class_path": class_path(type(chosen)), **self._record()}
        (folder / FILE).write_text(json.dumps(entry, indent=1))
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the chosen index, with the record of the choice."""
        try:
            entry = json.loads((folder / FILE).read_text())
            kind = find(entry.pop("class_path"), Index)
            found = {key: entry.pop(key) for key in ("why", "frontier", "trial")}
            opened = cls(**entry)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{FILE} doesn't hold a choice of an index: {error}") from error
        opened.chosen = kind.open(folder)
        opened.found = found
        opened._opened = True
        return opened

    def __len__(self) -> int:
        return 0 if self.chosen is None else len(self.chosen)

    def describe(self) -> dict[str, Any]:
        """Return the chosen index's description, how to pin it, and how it was chosen."""
        chosen = self.chosen
        if chosen is None:
            return super().describe()
        pin: dict[str, Any] = {"class_path": class_path(type(chosen))}
        if isinstance(chosen, FaissIndex):
            pin["init_args"] = {"factory": chosen.factory, "search": chosen.search_parameters}
        return {**chosen.describe(), "spec": self.spec, "pin": pin, **self._record()}

    def _record(self) -> dict[str, Any]:
        """Return the settings, and how the index was chosen."""
        others = {"sample": self.sample, "seed": self.seed, "threads": self.threads}
        return {**asdict(self.budgets), **others, **self.found}

    def _draw(self, embeddings: np.ndarray, judge: Judge | None) -> tuple[Reference, np.ndarray]:
        """Draw queries from the judge's, or else from the vectors, and the trial's rows (m,)."""
        n = len(embeddings)
        order = np.random.default_rng(self.seed).permutation(n)
        if judge is not None:
            asked = np.random.default_rng(self.seed).permutation(len(judge.queries))
            reference = Reference(embeddings, judge.queries[asked[:HELD_OUT]])
        else:
            held, order = np.split(order, [min(HELD_OUT, n // 5)])
            reference = Reference(embeddings, embeddings[held], held)
        return reference, np.sort(order[: self.sample])

    def _built(self) -> Index:
        if self.chosen is None:
            raise ValueError("the index is empty: build it first")
        return self.chosen
