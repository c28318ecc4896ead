from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vsearch.data.io.json_dataclasses import to_json
from vsearch.evaluation.comparing.comparison import Change, Comparison
from vsearch.evaluation.comparing.gates import Verdict
from vsearch.evaluation.comparing.runs import Run
from vsearch.evaluation.metrics import Estimate

NAMED = 10  # queries won and lost that comparison.json names


@dataclass(frozen=True)
class RunFacts:
    """A run: its folder, its network and its cost."""

    name: str
    folder: str
    model: dict[str, Any]
    cost: dict[str, float | None]


@dataclass(frozen=True)
class Setting:
    """A setting that differs; None if a run doesn't have it."""

    base: str | None
    value: str | None


@dataclass(frozen=True)
class Sides:
    """Values of the base and the run, side by side without a test."""

    base: Estimate
    value: Estimate


@dataclass(frozen=True)
class Counts:
    """How many queries got better, worse or stayed the same."""

    won: int
    lost: int
    same: int


@dataclass(frozen=True)
class ComparedRun(RunFacts):
    """A run compared with the base: see `Comparison`.

    Attributes:
        settings: those that differ, by name.
        axes: both runs' values, by axis and metric.
        labels: the rows of `Comparison.labels`, by metric.
        queries: by metric.
        won, lost: ids of the queries that got better and worse, the largest change first.
        picture: the file that shows these queries.
    """

    notes: list[str]
    settings: dict[str, Setting]
    metrics: dict[str, dict[str, Change]]
    axes: dict[str, dict[str, Sides]]
    labels: dict[str, list[dict[Hashable, Any]]]
    queries: dict[str, Counts]
    won: list[str]
    lost: list[str]
    picture: str | None


@dataclass(frozen=True)
class ComparisonReport:
    """Runs compared with one base on the same queries, and the verdicts of the gates."""

    queries: int
    labels: int
    gallery: int
    synthetic: bool
    base: RunFacts
    runs: list[ComparedRun]
    gates: list[Verdict]

    def to_json(self) -> dict[str, Any]:
        """Return the content of comparison.json."""
        gates = [{**to_json(one), "passed": one.passed, "text": str(one)} for one in self.gates]
        return {**to_json(self), "gates": gates}


def summary(comparisons: Sequence[Comparison], verdicts: Sequence[Verdict]) -> ComparisonReport:
    """Summarise comparisons with one base."""
    base = comparisons[0].base
    runs = []
    for number, comparison in enumerate(comparisons, start=1):
        ending = f"-{number}" if len(comparisons) > 1 else ""
        runs.append(_compared(comparison, f"comparison-won-lost{ending}.png"))
    return ComparisonReport(
        queries=len(base.queries),
        labels=int(base.queries["label"].nunique()),
        gallery=len(base.items),
        synthetic=bool(base.manifest.get("protocol", {}).get("synthetic", False)),
        base=RunFacts(**_facts(base)),
        runs=runs,
        gates=[*verdicts],
    )


def _facts(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "folder": str(run.folder),
        "model": run.manifest.get("model", {}),
        "cost": run.cost,
    }


def _compared(comparison: Comparison, picture: str) -> ComparedRun:
    base = comparison.base
    run = comparison.run
    ids = base.queries["id"]
    won, lost = comparison.won_and_lost()
    return ComparedRun(
        **_facts(run),
        notes=comparison.notes,
        settings=_changed_settings(base.settings, run.settings),
        metrics=comparison.metrics,
        axes={
            name: _both(axis, run.axes[name])
            for name, axis in base.axes.items()
            if name in run.axes
        },
        labels={name: comparison.labels(name).to_dict("records") for name in comparison.ranked},
        queries={name: _counts(comparison.changes(name)) for name in comparison.ranked},
        won=ids.iloc[won[:NAMED]].tolist(),
        lost=ids.iloc[lost[:NAMED]].tolist(),
        picture=picture if len(won) or len(lost) else None,
    )


def _changed_settings(base: dict[str, str], run: dict[str, str]) -> dict[str, Setting]:
    """Return the settings that differ; none if a run kept no settings."""
    if not base or not run:
        return {}
    found = {name: Setting(base.get(name), run.get(name)) for name in sorted({*base, *run})}
    return {name: one for name, one in found.items() if one.base != one.value}


def _both(base: dict[str, dict[str, float]], run: dict[str, dict[str, float]]) -> dict[str, Sides]:
    return {
        metric: Sides(Estimate(**value), Estimate(**run[metric]))
        for metric, value in base.items()
        if metric in run
    }


def _counts(changes: np.ndarray) -> Counts:
    won = int(np.count_nonzero(changes > 0))
    lost = int(np.count_nonzero(changes < 0))
    return Counts(won, lost, len(changes) - won - lost)
