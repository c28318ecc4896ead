from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from vsearch.errors import VsearchError
from vsearch.evaluation.comparing.paired_bootstrap import ROUNDING, Difference, paired_bootstrap
from vsearch.evaluation.comparing.runs import SPLIT, Run
from vsearch.evaluation.metrics import means, single_query_labels

RANKED = ("precision_at_1", "map_at_r")  # metrics that decide whether a query is won, in order
FEW = 30  # queries; with fewer, a bootstrap's intervals are too narrow


class ComparisonError(VsearchError):
    """Runs can't be compared; the message says why."""


@dataclass(frozen=True)
class Change:
    """A metric's mean in the base and in the run, and the difference with its interval."""

    base: float
    value: float
    difference: Difference


@dataclass(frozen=True)
class Comparison:
    """A run compared with its base.

    Attributes:
        base: the run to compare with.
        run: the run that is compared; its queries are in the order of the base's.
        metrics: changes by metric (those that both have) and by mean: "micro", "macro".
        notes: other differences, and limits of the numbers.
    """

    base: Run
    run: Run
    metrics: dict[str, dict[str, Change]]
    notes: list[str]

    @property
    def ranked(self) -> list[str]:
        """The metrics of RANKED that both runs have, else the first metric that they have."""
        return [name for name in RANKED if name in self.metrics] or list(self.metrics)[:1]

    def changes(self, metric: str) -> np.ndarray:
        """Return float (n_queries,): the increase of each query's value."""
        return _rounded(self.run.queries[metric].to_numpy() - self.base.queries[metric].to_numpy())

    def won_and_lost(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of queries that got better, and worse, the largest change first.

        If the first ranked metric is equal, the next decides.
        """
        changes = [self.changes(metric) for metric in self.ranked]
        order = np.lexsort(changes[::-1])
        sign = np.zeros(len(order))
        for change in changes:
            sign = np.where(sign == 0, np.sign(change), sign)
        sign = sign[order]
        return order[sign > 0][::-1], order[sign < 0]

    def labels(self, metric: str) -> pd.DataFrame:
        """Return a row per label, largest gain first: label, queries, mean base, value, change."""
        table = pd.DataFrame(
            {
                "label": self.base.queries["label"],
                "queries": 1,
                "base": self.base.queries[metric],
                "value": self.run.queries[metric],
                "change": self.changes(metric),
            }
        )
        means_of = dict.fromkeys(("base", "value", "change"), "mean")
        table = table.groupby("label", as_index=False).agg({"queries": "sum", **means_of})
        table["change"] = _rounded(table["change"].to_numpy())  # 0.1 and -0.1: almost 0
        return table.sort_values(
            ["change", "queries"], ascending=False, kind="stable", ignore_index=True
        )


def compare(base: Run, run: Run, resamples: int = 2000, seed: int = 0) -> Comparison:
    """Compare a run with its base, query by query.

    Raises:
        ComparisonError: queries, gallery items, labels or train photos differ, or they have no
            metric in common.
    """
    _refuse_others(base, run, "queries", base.queries, run.queries)
    _refuse_others(base, run, "gallery items", base.items, run.items)
    if base.train is not None and run.train is not None:
        _refuse_others(base, run, "train photos", base.train, run.train)
    common = [metric for metric in base.metrics if metric in run.metrics]
    if not common:
        raise ComparisonError(
            f"{run.name} has the metrics {run.metrics}, {base.name} {base.metrics}: none is common."
        )

    in_order = run.queries.set_index("id", drop=False).loc[base.queries["id"]]
    run = replace(run, queries=in_order.reset_index(drop=True))
    labels = base.queries["label"].to_numpy(dtype=str)
    before = {name: base.queries[name].to_numpy(dtype=float) for name in common}
    values = {name: run.queries[name].to_numpy(dtype=float) for name in common}
    differences = paired_bootstrap(values, before, labels, resamples, seed)
    old = means(before, labels)
    new = means(values, labels)
    metrics: dict[str, dict[str, Change]] = {name: {} for name in common}
    for name in common:
        for mean, difference in differences[name].items():
            metrics[name][mean] = Change(old[name][mean], new[name][mean], difference)
    return Comparison(base, run, metrics, [*_notes(base, run, labels)])


def _refuse_others(
    base: Run, run: Run, what: str, base_table: pd.DataFrame, run_table: pd.DataFrame
) -> None:
    """Refuse different ids or labels."""
    wanted = base_table.set_index("id")["label"]
    given = run_table.set_index("id")["label"]
    lost = wanted.index.difference(given.index)
    added = given.index.difference(wanted.index)
    if len(lost) or len(added):
        raise ComparisonError(
            f"{run.name} has other {what} than {base.name}: {len(lost)} of {len(wanted)} are "
            f"missing and {len(added)} are new (first: {[*lost, *added][0]!r}). Another catalog or "
            "split? Fit it with `--data.split vsearch.data.splits.FileSplit "
            f"--data.split.init_args.path {base.folder / 'split.csv'}`."
        )
    given = given.reindex(wanted.index)
    changed = wanted != given
    if changed.any():
        first = str(changed.idxmax())
        raise ComparisonError(
            f"{run.name} has other labels than {base.name} for {changed.sum()} of {len(wanted)} "
            f"{what} (first: {first!r} is {given[first]!r}, not {wanted[first]!r}). Fit both with "
            "the same label column."
        )


def _notes(base: Run, run: Run, labels: np.ndarray) -> Iterator[str]:
    for title, read in (("protocol", _protocol), ("library", _libraries)):
        before = read(base)
        after = read(run)
        for name in {**before, **after}:
            old = before.get(name)
            new = after.get(name)
            if old != new and name != "catalog_report":
                yield f"{title} {name}: {run.name} {new}, {base.name} {old}"
    for here, there in ((base, run), (run, base)):
        if only := [metric for metric in here.metrics if metric not in there.metrics]:
            yield f"only {here.name} has {', '.join(only)}: left out"
        if only := [axis for axis in here.axes if axis not in there.axes]:
            yield f"only {here.name} measured the axes {', '.join(only)}: left out"
        if "cost" not in here.manifest:
            yield f"{here.name} is older than the recording of costs"
        if here.train is None:
            yield (
                f"{here.name} has no {SPLIT}: whether both were trained on the same photos is not "
                "known"
            )
    if len(labels) < FEW:
        yield f"only {len(labels)} queries: the intervals are too narrow and the p-values too small"
    if alone := single_query_labels(labels):
        yield (
            f"{alone} of {len(np.unique(labels))} labels have a single query, which adds nothing "
            "to the macro intervals: these are too narrow"
        )


def _rounded(change: np.ndarray) -> np.ndarray:
    return np.where(np.abs(change) < ROUNDING, 0, change)


def _protocol(run: Run) -> dict[str, Any]:
    return run.manifest.get("protocol", {})


def _libraries(run: Run) -> dict[str, Any]:
    return run.manifest.get("model", {}).get("libraries", {})
