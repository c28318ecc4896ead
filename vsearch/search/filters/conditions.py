import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vsearch.search.filters.columns import Column, FilterError, Table, Word

VALUE = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
ORDERS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
LISTED = 50  # distinct values that a sentence lists

# Two bool (n,): which items meet a condition, and which meet its opposite
Truth = tuple[np.ndarray, np.ndarray]


class Condition(ABC):
    """A condition on items. For a missing value it is neither true nor false, as in SQL.

    Several conditions on the same items should share one `Table`.
    """

    def mask(self, items: pa.Table | Table) -> np.ndarray:
        """Return bool (n,): which items meet it, or raise a FilterError if columns don't fit."""
        return self._truth(_table(items))[0]

    def unmet(self, items: pa.Table | Table) -> list[str]:
        """Return a sentence for each value asked for that no item has, with the existing ones."""
        return self._unmet(_table(items))

    @abstractmethod
    def _truth(self, table: Table) -> Truth: ...

    def _unmet(self, table: Table) -> list[str]:
        return []


@dataclass(frozen=True)
class Comparison(Condition):
    """Compares a column with a value; `=` may have several values, of which one must match."""

    column: Word
    operator: str
    values: tuple[Word, ...]

    def _truth(self, table: Table) -> Truth:
        column = table.column(self.column.text, self.column.position)
        met = self._equal(column) if self.operator == "=" else self._ordered(column)
        return column.having(met), column.having(~met)

    def _unmet(self, table: Table) -> list[str]:
        column = table.column(self.column.text, self.column.position)
        if self.operator != "=" or column.having(self._equal(column)).any():
            return []

        asked = " or ".join(value.text for value in self.values)
        known = column.known()
        listed = ", ".join(known) or "no value"
        if len(known) > LISTED:
            listed = f"{len(known):,} others"
        return [f"no item has {self.column.text} = {asked}; it has {listed}"]

    def _equal(self, column: Column) -> np.ndarray:
        if column.numbers is not None:
            return np.any([column.numbers == self._number(value) for value in self.values], axis=0)
        asked = {value.text.lower() if column.truths else value.text for value in self.values}
        return np.array([text in asked for text in column.texts], dtype=bool)

    def _ordered(self, column: Column) -> np.ndarray:
        if column.numbers is not None:
            return ORDERS[self.operator](column.numbers, self._number(self.values[0]))
        known = column.known()
        if known:
            held = f"{self.column.text} holds text, such as {known[0]!r}"
            raise FilterError(f"{self.operator} compares numbers, but {held}", self.column.position)
        return np.zeros(len(column.texts), dtype=bool)

    def _number(self, value: Word) -> float:
        if not VALUE.fullmatch(value.text):
            message = f"{self.column.text} holds numbers, and {value.text!r} isn't one"
            raise FilterError(message, value.position)
        exact = len(value.text) <= 18 and value.text.lstrip("+-").isdigit()  # a float64 would round
        return int(value.text) if exact else float(value.text)


@dataclass(frozen=True)
class Missing(Condition):
    """A column has no value."""

    column: Word

    def _truth(self, table: Table) -> Truth:
        missing = table.column(self.column.text, self.column.position).codes < 0
        return missing, ~missing


@dataclass(frozen=True)
class Not(Condition):
    """The opposite of a condition."""

    condition: Condition

    def _truth(self, table: Table) -> Truth:
        met, opposite = self.condition._truth(table)
        return opposite, met


@dataclass(frozen=True)
class Joined(Condition):
    """All of several conditions (`and`), or at least one (`or`)."""

    word: str
    conditions: tuple[Condition, ...]

    def _truth(self, table: Table) -> Truth:
        met, opposites = zip(*(one._truth(table) for one in self.conditions), strict=True)
        if self.word == "and":
            return np.logical_and.reduce(met), np.logical_or.reduce(opposites)
        return np.logical_or.reduce(met), np.logical_and.reduce(opposites)

    def _unmet(self, table: Table) -> list[str]:
        sentences = []
        for condition in self.conditions:
            sentences += condition._unmet(table)
        return sentences


def _table(items: pa.Table | Table) -> Table:
    return items if isinstance(items, Table) else Table(items)
