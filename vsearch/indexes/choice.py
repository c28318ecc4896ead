from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vsearch.errors import VsearchError

# Times the fastest's time, within which the simpler candidate is taken: noise must not decide
TIE = 1.10


@dataclass(frozen=True)
class Measured:
    """What a candidate showed; times are medians."""

    spec: str
    recall_at_10: float  # share (0..1) of the exact 10 best
    single_ms: float  # of a search for one query
    batch_ms: float  # a query, when many are asked at once
    disk_bytes: int
    memory_bytes: int  # once opened
    build_s: float  # of the trial's index

    @property
    def memory_mib(self) -> float:
        """What it takes once opened."""
        return self.memory_bytes / 2**20

    def __str__(self) -> str:
        return (
            f"{self.spec}: recall@10 {self.recall_at_10:.4f}, {self.single_ms:.3g} ms a search, "
            f"{self.memory_mib:,.1f} MiB"
        )


@dataclass(frozen=True)
class Budgets:
    """What an index must find (recall@10) and may take (ms a search, MiB in memory)."""

    min_recall: float = 0.99
    max_ms: float | None = None
    max_mib: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_recall <= 1:
            raise ValueError(f"min_recall: {self.min_recall} is no share from 0 to 1")
        for name, limit in (("max_ms", self.max_ms), ("max_mib", self.max_mib)):
            if limit is not None and limit <= 0:
                raise ValueError(f"{name}: {limit} leaves room for nothing")

    def excess(self, row: Measured) -> dict[str, float]:
        """Return each budget that a candidate breaks, in words: by which share of the budget."""
        broken = {}
        if row.recall_at_10 < self.min_recall:
            words = f"finds {row.recall_at_10:.4f}, not {self.min_recall:g}"
            broken[words] = 1 - row.recall_at_10 / self.min_recall
        if self.max_ms is not None and row.single_ms > self.max_ms:
            words = f"takes {row.single_ms:.3g} ms, not {self.max_ms:g}"
            broken[words] = row.single_ms / self.max_ms - 1
        if self.max_mib is not None and row.memory_mib > self.max_mib:
            words = f"takes {row.memory_mib:,.1f} MiB, not {self.max_mib:g}"
            broken[words] = row.memory_mib / self.max_mib - 1
        return broken


class BudgetError(VsearchError):
    """No candidate is within the budgets; `frontier`: what all showed, as `table` returns it."""

    def __init__(self, message: str, frontier: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.frontier = frontier


def choose(rows: Sequence[Measured], budgets: Budgets) -> int:
    """Return the position of the best candidate within the budgets.

    It is the first, and so the simplest, of those that take at most `TIE` times the fastest's time
    for single queries.

    Raises:
        BudgetError: none is within the budgets; names the nearest and the Pareto line.
    """
    within = [number for number, row in enumerate(rows) if not budgets.excess(row)]
    if within:
        fastest = min(rows[number].single_ms for number in within)
        return next(number for number in within if rows[number].single_ms <= TIE * fastest)

    nearest = min(rows, key=lambda row: max(budgets.excess(row).values()))
    best = [f"  {row}" for row, on_line in zip(rows, pareto(rows), strict=True) if on_line]
    message = (
        f"no index is within the budgets. Nearest: {nearest.spec}, which "
        f"{' and '.join(budgets.excess(nearest))}. "
        "Nothing measured beats these in recall and time at once:\n" + "\n".join(best)
    )
    raise BudgetError(message, table(rows, budgets, None))


def pareto(rows: Sequence[Measured]) -> list[bool]:
    """Return which candidates no other beats in recall@10 and time at once."""
    return [not any(_beats(other, row) for other in rows) for row in rows]


def _beats(one: Measured, other: Measured) -> bool:
    gains = (one.recall_at_10 - other.recall_at_10, other.single_ms - one.single_ms)
    return min(gains) >= 0 and max(gains) > 0


def table(rows: Sequence[Measured], budgets: Budgets, chosen: int | None) -> list[dict[str, Any]]:
    """Return each candidate as plain JSON values: its figures, and how it fared."""
    return [
        {
            **asdict(row),
            "within_budget": not budgets.excess(row),
            "pareto": on_line,
            "chosen": number == chosen,
        }
        for number, (row, on_line) in enumerate(zip(rows, pareto(rows), strict=True))
    ]


def why(rows: Sequence[Measured], budgets: Budgets, chosen: int) -> str:
    """Explain a choice, and why nothing faster was taken, in two sentences."""
    row = rows[chosen]
    within = sum(not budgets.excess(other) for other in rows)
    limits = [f"recall@10 of {budgets.min_recall:g} or more"]
    if budgets.max_ms is not None:
        limits.append(f"at most {budgets.max_ms:g} ms")
    if budgets.max_mib is not None:
        limits.append(f"at most {budgets.max_mib:g} MiB")
    kept = f"Of {len(rows)} candidates, {within} kept within {', '.join(limits)}, and"

    faster = [other for other in rows if other.single_ms < row.single_ms]
    faster.sort(key=lambda other: other.single_ms)
    tied = [other for other in faster if not budgets.excess(other)]
    if tied:
        return (
            f"{kept} within 10 % of the fastest the simplest is {row}. A tie with {tied[0].spec} "
            f"({tied[0].single_ms:.3g} ms): timing noise is not to decide."
        )
    if not faster:
        return f"{kept} the fastest is {row}. Nothing measured was faster."
    best = max(faster, key=lambda other: other.recall_at_10)
    return (
        f"{kept} the fastest is {row}. Of what was faster ({len(faster)}), the most exact is "
        f"{best.spec}, which {' and '.join(budgets.excess(best))}."
    )
