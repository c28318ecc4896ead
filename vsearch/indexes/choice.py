from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vsearch.errors import VsearchError

# times the fastest's time, within which the simpler candidate is taken: timing noise must not
# decide
TIE = 1.10


@dataclass(frozen=True)
class Measured:
    """What a candidate showed.

    Attributes:
        spec: the index, with its settings.
        recall_at_10: share (0..1) of the exact 10 best that it finds.
        single_ms: median milliseconds of a search for one query.
        batch_ms: median milliseconds a query when many are asked at once.
        disk_bytes: what its files take.
        memory_bytes: what it takes once opened.
        build_s: seconds to build the trial's index.
    """

    spec: str
    recall_at_10: float
    single_ms: float
    batch_ms: float
    disk_bytes: int
    memory_bytes: int
    build_s: float


@dataclass(frozen=True)
class Budgets:
    """What an index may cost, and must find: recall@10, milliseconds of a single search, MiB in
    memory.
    """

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
        """Return each budget that a candidate breaks, in words, and by how much, as a share of the
        budget.
        """
        broken = {}
        if row.recall_at_10 < self.min_recall:
            broken[f"finds {row.recall_at_10:.4f}, not {self.min_recall:g}"] = (
                1 - row.recall_at_10 / self.min_recall
            )
        if self.max_ms is not None and row.single_ms > self.max_ms:
            broken[f"takes {row.single_ms:.3g} ms, not {self.max_ms:g}"] = (
                row.single_ms / self.max_ms - 1
            )
        mib = row.memory_bytes / 2**20
        if self.max_mib is not None and mib > self.max_mib:
            broken[f"takes {mib:,.1f} MiB, not {self.max_mib:g}"] = mib / self.max_mib - 1
        return broken


class BudgetError(VsearchError):
    """No candidate is within the budgets.

    Attributes:
        frontier: what all showed, as `table` returns it.
    """

    def __init__(self, message: str, frontier: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.frontier = frontier


def choose(rows: Sequence[Measured], budgets: Budgets) -> int:
    """Return the position of the best candidate: within the budgets, the fastest for single
    queries.

    Of those that take at most `TIE` times the fastest's time, the first in the list, where simpler
    and more exact ones stand before others.

    Raises:
        BudgetError: none is within the budgets; lists the Pareto line and the one that misses them
            least.
    """
    within = [number for number, row in enumerate(rows) if not budgets.excess(row)]
    if within:
        fastest = min(rows[number].single_ms for number in within)
        return next(number for number in within if rows[number].single_ms <= TIE * fastest)
    nearest = min(rows, key=lambda row: max(budgets.excess(row).values()))
    lines = [f"  {line(row)}" for row, on_it in zip(rows, pareto(rows), strict=True) if on_it]
    message = (
        f"no index is within the budgets. Nearest: {nearest.spec}, which "
        f"{' and '.join(budgets.excess(nearest))}. "
        "Nothing measured beats these in recall and time at once:\n" + "\n".join(lines)
    )
    raise BudgetError(message, table(rows, budgets, None))


def pareto(rows: Sequence[Measured]) -> list[bool]:
    """Return which candidates no other beats: none has a higher recall@10 in no more time, or less
    time for as high.
    """

    def beats(other: Measured, row: Measured) -> bool:
        ours, theirs = (row.recall_at_10, -row.single_ms), (other.recall_at_10, -other.single_ms)
        return theirs != ours and theirs[0] >= ours[0] and theirs[1] >= ours[1]

    return [not any(beats(other, row) for other in rows) for row in rows]


def table(rows: Sequence[Measured], budgets: Budgets, chosen: int | None) -> list[dict[str, Any]]:
    """Return plain JSON values: each candidate's figures, whether it is within budget, on the
    Pareto line, chosen.
    """
    return [
        {
            **asdict(row),
            "within_budget": not budgets.excess(row),
            "pareto": on_it,
            "chosen": number == chosen,
        }
        for number, (row, on_it) in enumerate(zip(rows, pareto(rows), strict=True))
    ]


def why(rows: Sequence[Measured], budgets: Budgets, chosen: int) -> str:
    """Explain a choice in two sentences: what it is within, and what was faster and why it wasn't
    taken.
    """
    row = rows[chosen]
    within = sum(not budgets.excess(other) for other in rows)
    limits = [f"recall@10 of {budgets.min_recall:g} or more"]
    limits += [] if budgets.max_ms is None else [f"at most {budgets.max_ms:g} ms"]
    limits += [] if budgets.max_mib is None else [f"at most {budgets.max_mib:g} MiB"]
    first = f"Of {len(rows)} candidates, {within} kept within {', '.join(limits)}, and the fastest is {line(row)}."
    faster = sorted(
        (other for other in rows if other.single_ms < row.single_ms),
        key=lambda other: other.single_ms,
    )
    tied = [other for other in faster if not budgets.excess(other)]
    if tied:
        first = first.replace("the fastest is", "within 10 % of the fastest the simplest is")
        return f"{first} A tie with {tied[0].spec} ({tied[0].single_ms:.3g} ms): timing noise is not to decide."
    if not faster:
        return f"{first} Nothing measured was faster."
    best = max(faster, key=lambda other: other.recall_at_10)
    reason = " and ".join(budgets.excess(best))
    return f"{first} Of what was faster ({len(faster)}), the most exact is {best.spec}, which {reason}."


def line(row: Measured) -> str:
    """Return a candidate's figures in one line."""
    mib = row.memory_bytes / 2**20
    return f"{row.spec}: recall@10 {row.recall_at_10:.4f}, {row.single_ms:.3g} ms a search, {mib:,.1f} MiB"
