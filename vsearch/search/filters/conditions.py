import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from vsearch.search.filters.columns import Column, FilterError, Table, Word

VALUE = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
ORDERS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
LISTED = 50  # distinct values that a sentence lists

# Bool (n,) twice: which items meet a condition, and which meet its opposite
Truth = tuple[np.ndarray, np.ndarray]


class Condition(ABC):
    """What an item meets or doesn't. Of a missing value neither is said, as in SQL."""

    @abstractmethod
    def truth(self, table: Table) -> Truth:
        """Return which items meet it, and which meet its opposite."""

    def unmet(self, table: Table) -> list[str]:
        """Return a sentence for each value asked for that no item has, naming those there are."""
        return []


@dataclass(frozen=True)
class Comparison(Condition):
    """A column against a value, by an order; or, for `=`, against several, one of which it is."""

    column: Word
    operator: str
    values: tuple[Word, ...]

    def truth(self, table: Table) -> Truth:
        """See `Condition`."""
        column = table.column(self.column.text, self.column.position)
        met = self._equal(column) if self.operator == "=" else self._ordered(column)
        return column.having(met), column.having(~met)

    def unmet(self, table: Table) -> list[str]:
        """See `Condition`."""
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
        """Return bool (m,): which of the distinct values are asked for."""
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
            message = f"{self.column.text} holds numbers, and {value.text!r} is none"
            raise FilterError(message, value.position)
        exact = len(value.text) <= 18 and value.text.lstrip("+-").isdigit()  # a float64 would round
        return int(value.text) if exact else float(value.text)


@dataclass(frozen=True)
class Missing(Condition):
    """A column has no value."""

    column: Word

    def truth(self, table: Table) -> Truth:
        """See `Condition`."""
        missing = table.column(self.column.text, self.column.position).codes < 0
        return missing, ~missing


@dataclass(frozen=True)
class Not(Condition):
    """The opposite of a condition."""

    part: Condition

    def truth(self, table: Table) -> Truth:
        """See `Condition`."""
        met, opposite = self.part.truth(table)
        return opposite, met


@dataclass(frozen=True)
class Joined(Condition):
    """Each of several conditions (`and`), or one at least (`or`)."""

    word: str
    parts: tuple[Condition, ...]

    def truth(self, table: Table) -> Truth:
        """See `Condition`."""
        met, opposites = zip(*(part.truth(table) for part in self.parts), strict=True)
        if self.word == "and":
            return np.logical_and.reduce(met), np.logical_or.reduce(opposites)
        return np.logical_or.reduce(met), np.logical_and.reduce(opposites)

    def unmet(self, table: Table) -> list[str]:
        """See `Condition`."""
        return [sentence for part in self.parts for sentence in part.unmet(table)]
