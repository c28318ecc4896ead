from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from vsearch.errors import VsearchError
from vsearch.evaluation.comparing.paired import ROUNDING, Difference, paired
from vsearch.evaluation.comparing.runs import SPLIT, Run
from vsearch.evaluation.metrics import means, single_query_labels

RANKED = (
    "precision_at_1",
    "map_at_r",
)  # what labels and queries are won or lost by, the first one first
FEW = 30  # queries; below it a bootstrap's intervals are too narrow


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
    """A run beside its base.

    Attributes:
        base: what is compared with.
        run: what is compared; its queries in the order of the base's.
        metrics: `{metric: {"micro", "macro": Change}}` of the metrics that both have.
        notes: what else differs, or makes the numbers weaker than they look.
    """

    base: Run
    run: Run
    metrics: dict[str, dict[str, Change]]
    notes: list[str]

    @property
    def ranked(self) -> list[str]:
        """The metrics of RANKED that both runs have, else the first that they have."""
        return [name for name in RANKED if name in self.metrics] or list(self.metrics)[:1]

    def changes(self, metric: str) -> np.ndarray:
        """Return float (n_queries,): how much each query's value rose."""
        return _rounded(self.run.queries[metric].to_numpy() - self.base.queries[metric].to_numpy())

    def won_and_lost(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the queries that got better and of those that got worse, largest
        change first.

        By the first ranked metric; where that is the same, by the next.
        """
        changes = [self.changes(metric) for metric in self.ranked]
        order, sign = np.lexsort(changes[::-1]), np.sign(changes[0])
        for change in changes[1:]:
            sign = np.where(sign == 0, np.sign(change), sign)
        return order[sign[order] > 0][::-1], order[sign[order] < 0]

    def labels(self, metric: str) -> pd.DataFrame:
        """Return one row per label, most gained first: label, queries, base and value (means),
        change.
        """
        columns = {
            "base": self.base.queries[metric],
            "value": self.run.queries[metric],
            "change": self.changes(metric),
        }
        groups = pd.DataFrame(columns).groupby(self.base.queries["label"])
        table = groups.mean().assign(queries=groups.size()).rename_axis("label").reset_index()
        table["change"] = _rounded(
            table["change"].to_numpy()
        )  # +0.1 and -0.1 have a mean of almost 0
        return table.sort_values(
            ["change", "queries"], ascending=False, kind="stable", ignore_index=True
        )


def compare(base: Run, run: Run, resamples: int = 2000, seed: int = 0) -> Comparison:
    """Compare a run with its base, query by query.

    Raises:
        ComparisonError: they don't answer the same queries from the same gallery under the same
            labels, were trained on other photos, or have no metric in common.
    """
    _same(base, run, "queries", base.queries, run.queries)
    _same(base, run, "gallery items", base.items, run.items)
    if base.train is not None and run.train is not None:
        _same(base, run, "train photos", base.train, run.train)
    run = replace(
        run,
        queries=run.queries.set_index("id", drop=False)
        .loc[base.queries["id"]]
        .reset_index(drop=True),
    )
    common = [metric for metric in base.metrics if metric in run.metrics]
    if not common:
        raise ComparisonError(
            f"{run.name} has the metrics {run.metrics}, {base.name} {base.metrics}: none in common."
        )
    labels = base.queries["label"].to_numpy(dtype=str)
    values, before = (
        {name: one.queries[name].to_numpy(dtype=float) for name in common} for one in (run, base)
    )
    found = paired(values, before, labels, resamples, seed)
    old, new = means(before, labels), means(values, labels)
    metrics = {
        name: {
            kind: Change(old[name][kind], new[name][kind], found[name][kind])
            for kind in found[name]
        }
        for name in common
    }
    return Comparison(base, run, metrics, _notes(base, run, labels))


def _same(base: Run, run: Run, what: str, wanted: pd.DataFrame, given: pd.DataFrame) -> None:
    """Refuse other ids or other labels."""
    one, two = wanted.set_index("id")["label"], given.set_index("id")["label"]
    lost, added = one.index.difference(two.index), two.index.difference(one.index)
    if len(lost) or len(added):
        raise ComparisonError(
            f"{run.name} has other {what} than {base.name}: {len(lost)} of {len(one)} are missing "
            f"and {len(added)} are new (first: {[*lost, *added][0]!r}). Another catalog or split? "
            "Fit it with `--data.split vsearch.data.splits.FileSplit --data.split.init_args.path "
            f"{base.folder / 'split.csv'}`."
        )
    other = two.reindex(one.index)
    if (changed := one != other).any():
        first = str(changed.idxmax())
        raise ComparisonError(
            f"{run.name} has other labels than {base.name} for {changed.sum()} of {len(one)} "
            f"{what} (first: {first!r} is {other[first]!r}, not {one[first]!r}). Another label "
            "column? Fit both with the same one."
        )


def _notes(base: Run, run: Run, labels: np.ndarray) -> list[str]:
    notes = []
    for title, one, two in (
        ("protocol", base.manifest.get("protocol", {}), run.manifest.get("protocol", {})),
        ("library", _libraries(base), _libraries(run)),
    ):
        names = [
            name
            for name in {**one, **two}
            if one.get(name) != two.get(name) and name != "catalog_report"
        ]
        notes += [
            f"{title} {name}: {run.name} {two.get(name)}, {base.name} {one.get(name)}"
            for name in names
        ]
    for here, there in ((base, run), (run, base)):
        if only := [metric for metric in here.metrics if metric not in there.metrics]:
            notes.append(f"only {here.name} has {', '.join(only)}: left out")
        if only := [axis for axis in here.axes if axis not in there.axes]:
            notes.append(f"only {here.name} measured the axes {', '.join(only)}: left out")
        if "cost" not in here.manifest:
            notes.append(f"{here.name} was fit before costs were recorded")
        if here.train is None:
            notes.append(
                f"{here.name} has no {SPLIT}: whether both were trained on the same photos is not "
                "known"
            )
    if len(labels) < FEW:
        notes.append(
            f"only {len(labels)} queries: the intervals are too narrow and the p-values too small"
        )
    if alone := single_query_labels(labels):
        few = f"{alone} of {len(np.unique(labels))} labels have a single query"
        notes.append(f"{few}, which adds nothing to the macro intervals: these are too narrow")
    return notes


def _rounded(change: np.ndarray) -> np.ndarray:
    return np.where(np.abs(change) < ROUNDING, 0, change)


def _libraries(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.manifest.get("model", {}).get("libraries", {})
    return found
