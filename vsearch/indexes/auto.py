import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from vsearch.class_paths import class_path, find
from vsearch.indexes.base import Index
from vsearch.indexes.candidates import Candidate, candidates, given
from vsearch.indexes.choice import BudgetError, Budgets, Judge, Measured, choose, table, why
from vsearch.indexes.exhaustive import Hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.trial import Reference, Trial, build_all, give, measure

FILE = "auto.json"
SAMPLE = 50_000
HELD_OUT = 500
FEWEST = 10  # vectors; with fewer there is nothing to try
NO_JUDGE = (
    "max_label_loss and max_axis_loss need labelled queries that weren't trained on: a fit's "
    "validation photos, if they search the served gallery. Set min_recall instead."
)
logger = logging.getLogger(__name__)


class AutoIndex(Index):
    """Tries several kinds of index on the vectors, and keeps the best within the budgets.

    Up to 500 vectors are held out as queries. Candidates are built from the others, or from 50,000
    of them; the best one is then built from all vectors. With more than 50,000, times and bytes are
    estimated for all (`trial.growth`), and recall is the sample's, which is higher than that of
    all. So the same queries then search all vectors, and the quickest setting of the best one that
    still finds `min_recall` is taken.

    Label budgets limit what users lose: a `judge` has queries that weren't trained on, which are
    then searched instead. A fit sets it to its validation photos.

    A rebuilt index keeps the opened index's choice.

    Times differ between runs. Medians of interleaved rounds, and the simpler candidate in a tie of
    10 %, keep the choice stable; to fix it, replace AutoIndex in the config by `pin` of `describe`.
    The trial holds all candidates in memory at once: about 2.5 GB for 50,000 vectors of 2,048
    dimensions.

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
            return
        n, dim = embeddings.shape
        judge = self.judge if self.budgets.judged else None
        if self.budgets.judged and judge is None:
            raise BudgetError(NO_JUDGE, [])
        order = np.random.default_rng(self.seed).permutation(n)
        held = None
        if judge is None:
            held, order = np.split(order, [min(HELD_OUT, n // 5)])
            queries = embeddings[held]
        else:
            asked = np.random.default_rng(self.seed).permutation(len(judge.queries))
            queries = judge.queries[asked[:HELD_OUT]]
        rows = np.sort(order[: self.sample])
        if self.candidates is None:
            offered = candidates(n, dim, len(rows), self.seed, self.threads, judge is not None)
        else:
            offered = [given(index) for index in self.candidates]
        if n < FEWEST:
            reason = f"{n} vectors are too few for a trial. The simplest candidate was chosen."
            self._build(offered[0], offered[0].settings[0], embeddings)
            self.found = {"why": reason, "frontier": [], "trial": {"vectors": 0, "queries": 0}}
            return

        vectors = embeddings[rows]
        trials = build_all(offered, vectors)
        shown = measure(trials, vectors, queries, n, judge.among(rows) if judge else None)
        best = choose(shown, self.budgets)
        chosen = trials[best]
        settings = self._slower(trials, shown, best)
        del trials, vectors  # before the largest index is built
        self._build(chosen.candidate, chosen.setting, embeddings)
        reason = why(shown, self.budgets, best)
        if len(rows) < len(order) and not self.exact:
            reason += self._set_for_all(settings, Reference(embeddings, queries, held))
        searched = len(judge.queries) if judge else len(queries)
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
            entry.pop("candidates", None)  # of older bundles
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

    def _build(
        self, candidate: Candidate, setting: dict[str, float], embeddings: np.ndarray
    ) -> None:
        index = candidate.make(len(embeddings))
        index.build(embeddings)
        give(index, setting)
        self.chosen = index

    def _slower(
        self, trials: list[Trial], shown: list[Measured], best: int
    ) -> list[dict[str, float]]:
        """Return the chosen candidate's settings, from the chosen one to the slowest allowed."""
        most_ms = self.budgets.max_ms or np.inf
        taken = [row.single_ms for row in shown]
        own = [number for number, trial in enumerate(trials) if trial.index is trials[best].index]
        slower = [number for number in own if taken[best] < taken[number] <= most_ms]
        slower.sort(key=taken.__getitem__)
        return [trials[number].setting for number in [best, *slower]]

    def _set_for_all(self, settings: list[dict[str, float]], reference: Reference) -> str:
        """Choose a setting again, for all vectors, and return what it finds in words.

        The quickest that finds enough is taken; or else, the one that finds most.
        """
        index = self._built()
        recalls = []
        for setting in settings:
            give(index, setting)
            recalls.append(reference.recall_at_10(index))
            if self.budgets.min_recall is None or recalls[-1] >= self.budgets.min_recall:
                break
        most = int(np.argmax(recalls))
        give(index, settings[most])
        return (
            f" Built from all {len(index):,} vectors: {index.spec}, recall@10 {recalls[most]:.4f}."
        )

    def _built(self) -> Index:
        if self.chosen is None:
            raise ValueError("the index is empty: build it first")
        return self.chosen
