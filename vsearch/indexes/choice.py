from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from vsearch.errors import VsearchError
from vsearch.indexes.base import Index

# Times the least time or memory, within which the simpler candidate is taken: noise must not decide
TIE = 1.10
MOST = {"time": "fastest", "memory": "smallest"}
AXIS = "axis/"
NEARLY = 0.9  # of the asked recall, found in a sample: all vectors may show more


@dataclass(frozen=True)
class Loss:
    """A metric's (0..1) loss against exact search, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


Losses = dict[str, Loss]  # by metric: the label's, and those of other axes as AXIS and their name


class Judge(Protocol):
    """Has queries that weren't trained on, and knows their right hits."""

    @property
    def queries(self) -> np.ndarray:
        """The queries' embeddings, float32 (q, dim)."""

    def among(self, rows: np.ndarray) -> Callable[[Index], Losses]:
        """Return a judge of indexes that hold these gallery rows, in this order."""


@dataclass(frozen=True)
class Measured:
    """A candidate's measurements; times are medians."""

    spec: str
    recall_at_10: float  # share (0..1) of the exact 10 best
    single_ms: float  # of a search for one query
    batch_ms: float  # per query, with many at once
    memory_bytes: int  # once opened, and on the disk
    build_s: float  # of the trial's index
    losses: Losses = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The spec without settings of a search."""
        return self.spec.partition(", ")[0]

    @property
    def memory_mib(self) -> float:
        """Memory once opened."""
        return self.memory_bytes / 2**20

    def __str__(self) -> str:
        return (
            f"{self.spec}: recall@10 {self.recall_at_10:.4f}, {self.single_ms:.3g} ms per search, "
            f"{self.memory_mib:,.1f} MiB"
        )


@dataclass(frozen=True)
class Budgets:
    """What an index must find and may take, and what to minimise: see `AutoIndex`'s arguments."""

    min_recall: float | None = 0.99
    max_ms: float | None = None
    max_mib: float | None = None
    max_label_loss: float | None = None
    max_axis_loss: float | None = None
    prefer: Literal["time", "memory"] = "time"

    def __post_init__(self) -> None:
        if self.min_recall is not None and not 0 <= self.min_recall <= 1:
            raise ValueError(f"min_recall: {self.min_recall} isn't a share from 0 to 1")
        if self.min_recall is None and not self.judged:
            raise ValueError("min_recall: null needs another limit on losses: set max_label_loss")
        if self.prefer not in MOST:
            raise ValueError(f"prefer: {self.prefer!r} is neither `time` nor `memory`")
        for name in ("max_ms", "max_mib", "max_label_loss", "max_axis_loss"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{name}: {limit} leaves room for nothing")

    @property
    def judged(self) -> bool:
        """Whether labels or other axes decide."""
        return self.max_label_loss is not None or self.max_axis_loss is not None

    def cost(self, row: Measured) -> float:
        """Return what to minimise."""
        return row.memory_bytes if self.prefer == "memory" else row.single_ms

    def quality(self, row: Measured) -> float:
        """Return what to maximise: minus the loss of precision@1, or else recall@10."""
        lost = row.losses.get("precision_at_1")
        return row.recall_at_10 if lost is None else -lost.value

    def excess(self, row: Measured) -> dict[str, float]:
        """Return each broken budget, in words, with the excess as a share of the budget."""
        broken = {}
        if self.min_recall is not None and row.recall_at_10 < self.min_recall:
            words = f"finds {row.recall_at_10:.4f}, not {self.min_recall:g}"
            broken[words] = 1 - row.recall_at_10 / self.min_recall
        if self.max_ms is not None and row.single_ms > self.max_ms:
            words = f"takes {row.single_ms:.3g} ms, not {self.max_ms:g}"
            broken[words] = row.single_ms / self.max_ms - 1
        if self.max_mib is not None and row.memory_mib > self.max_mib:
            words = f"takes {row.memory_mib:,.1f} MiB, not {self.max_mib:g}"
            broken[words] = row.memory_mib / self.max_mib - 1
        for name in ("max_label_loss", "max_axis_loss"):
            limit = getattr(self, name)
            if limit is None:
                continue
            of_axes = name == "max_axis_loss"
            metrics = [metric for metric in row.losses if metric.startswith(AXIS) == of_axes]
            if not metrics:
                broken[f"has no query for {name}"] = float("inf")
                continue
            worst = max(metrics, key=lambda metric: row.losses[metric].high)
            high = row.losses[worst].high
            if high > limit:
                broken[f"may lose {high:.4f} of {worst}, not {limit:g}"] = high / limit - 1
        return broken


class BudgetError(VsearchError):
    """No candidate is within the budgets; `frontier`: all measurements, as `table` returns them."""

    def __init__(self, message: str, frontier: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.frontier = frontier


def choose(rows: Sequence[Measured], budgets: Budgets) -> int:
    """Return the position of the best candidate within the budgets, or else of the nearest.

    It is of the first kind, and so the simplest, that takes at most `TIE` times the least time for
    single queries, or the least memory, as the budgets prefer. Of this kind's settings that take at
    most `TIE` times the least time, it is the one that loses least. The nearest is the one
    whose worst miss is the least.
    """
    worst = [max(budgets.excess(row).values(), default=0.0) for row in rows]
    within = [number for number, excess in enumerate(worst) if not excess]
    if not within:
        return worst.index(min(worst))

    least = min(budgets.cost(rows[number]) for number in within)
    tied = [number for number in within if budgets.cost(rows[number]) <= TIE * least]
    own = [number for number in tied if rows[number].kind == rows[tied[0]].kind]
    quickest = min(rows[number].single_ms for number in own)
    quick = [number for number in own if rows[number].single_ms <= TIE * quickest]
    return max(quick, key=lambda at: (budgets.quality(rows[at]), -rows[at].single_ms))


def finalists(rows: Sequence[Measured], budgets: Budgets, chosen: int) -> list[int]:
    """Return the candidates to measure again on all vectors, if `rows` are of a sample.

    They are all settings of the chosen kind, and those of the quickest kind that takes less time
    and finds nearly enough of the sample.
    """
    kinds = [rows[chosen].kind]
    if budgets.min_recall is not None and not budgets.judged and budgets.prefer == "time":
        nearly = replace(budgets, min_recall=NEARLY * budgets.min_recall)
        rivals = [row for row in rows if row.kind not in kinds and not nearly.excess(row)]
        quickest = min(rivals, key=budgets.cost, default=rows[chosen])
        if budgets.cost(quickest) < budgets.cost(rows[chosen]):
            kinds.append(quickest.kind)
    return [number for number, row in enumerate(rows) if row.kind in kinds]


def pareto(rows: Sequence[Measured], budgets: Budgets) -> list[bool]:
    """Return which candidates no other beats in quality and cost at once, as the budgets count."""
    places = [(budgets.quality(row), -budgets.cost(row)) for row in rows]
    return [not any(_beats(other, place) for other in places) for place in places]


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


def table(rows: Sequence[Measured], budgets: Budgets, chosen: int | None) -> list[dict[str, Any]]:
    """Return each candidate as plain JSON values: its figures, and how it fared."""
    return [
        {
            **asdict(row),
            "within_budget": not budgets.excess(row),
            "pareto": on_line,
            "chosen": number == chosen,
        }
        for number, (row, on_line) in enumerate(zip(rows, pareto(rows, budgets), strict=True))
    ]


def why(rows: Sequence[Measured], budgets: Budgets, chosen: int) -> str:
    """Say in two sentences what was chosen, and what it costs or what nothing better took."""
    row = rows[chosen]
    within = sum(not budgets.excess(other) for other in rows)
    less = [other for other in rows if budgets.cost(other) < budgets.cost(row)]
    tied = [other for other in less if not budgets.excess(other)]
    chosen_as = f"the {MOST[budgets.prefer]}"
    if tied:
        least = min(tied, key=budgets.cost)
        chosen_as = f"within 10 % of {chosen_as}"
        better = "loses less" if least.kind == row.kind else "is simpler"
        rest = f"it {better} than {least}"
    elif not less:
        rest = f"nothing measured takes less {budgets.prefer}"
    else:
        best = max(less, key=budgets.quality)
        rest = (
            f"the best of {len(less)} with less {budgets.prefer} is {best.spec}, which "
            f"{' and '.join(budgets.excess(best))}"
        )
    kept = f"Of {len(rows)} candidates, {within} kept within {_limits(budgets)}"
    lost = ", ".join(f"{metric} {loss}" for metric, loss in row.losses.items())
    said = f"Against exact search it loses {lost}; {rest}" if lost else rest[0].upper() + rest[1:]
    return f"{kept}, and {chosen_as} is {row}. {said}."


def _limits(budgets: Budgets) -> str:
    limits = {
        "recall@10 of {:g} or more": budgets.min_recall,
        "label losses of {:g}": budgets.max_label_loss,
        "axis losses of {:g}": budgets.max_axis_loss,
        "at most {:g} ms": budgets.max_ms,
        "at most {:g} MiB": budgets.max_mib,
    }
    return ", ".join(text.format(limit) for text, limit in limits.items() if limit is not None)
