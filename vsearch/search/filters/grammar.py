"""Filters on items, written by people: `gender = Women and (price < 30 or price is missing)`.

    filter    = conjunct { "or" conjunct }
    conjunct  = negated { "and" negated }
    negated   = "not" negated | "(" filter ")" | condition
    condition = column ("=" | "!=" | "<" | "<=" | ">" | ">=") value
              | column ["not"] "in" "(" value { "," value } ")"
              | column "is" ["not"] "missing"

Columns and values are words, or text in quotes (a quote within is doubled) where they hold spaces,
brackets, commas, operators, or are called like a keyword. Keywords may be upper case; values are
compared letter by letter. A column of numbers, or of text that all reads as numbers, is compared as
numbers, with every operator; other text only with =, != and in. A missing value (NaN, None, blank
text) meets only `is missing`: not `price < 30`, nor its opposite, as in SQL.

Written by hand since no library fits: `DataFrame.query` runs code (CVE-2023-46134), a service must
not; luqum speaks Lucene, pygeofilter geometries, both with no comparison against the types that a
table turns out to have; lark would be a dependency for six rules.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vsearch.search.filters.columns import FilterError, Table, Word
from vsearch.search.filters.conditions import Comparison, Condition, Joined, Missing, Not

LENGTH, DEPTH, VALUES = (
    4000,
    32,
    200,
)  # characters, nested brackets and nots, values compared: a hostile filter's end
KEYWORDS = ("and", "or", "not", "in", "is")
OPERATORS = ("=", "==", "!=", "<", "<=", ">", ">=")
TOKEN = re.compile(
    r"""\s*(?: (?P<quoted> "(?:[^"]|"")*" | '(?:[^']|'')*' )
          | (?P<symbol> [<>=!]= | [<>=(),] )
          | (?P<word> [^\s"'<>=!(),] [^\s"<>=!(),]* ) )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Filter:
    """Which items are wanted. A `Table` of the items, kept, saves making their columns ready for
    each filter.
    """

    condition: Condition

    def mask(self, items: pd.DataFrame | Table) -> np.ndarray:
        """Return bool (n,): which items meet it.

        Raises:
            FilterError: there is no such column, or its values can't be compared like this.
        """
        return self.condition.truth(_table(items))[0]

    def unmet(self, items: pd.DataFrame | Table) -> list[str]:
        """Return, for each value asked for that no item has, a sentence that names those that there
        are.
        """
        return self.condition.unmet(_table(items))


def parse(text: str) -> Filter:
    """Read a filter; the grammar stands at the top of this file.

    Raises:
        FilterError: says at which character, what was expected there, and what was found.
    """
    return Filter(_Parser(text).filter())


def _table(items: pd.DataFrame | Table) -> Table:
    return items if isinstance(items, Table) else Table(items)


@dataclass(frozen=True)
class _Token(Word):
    kind: str  # word, quoted, symbol, keyword, end


def _tokens(text: str) -> list[_Token]:
    if len(text) > LENGTH:
        raise FilterError(f"longer than {LENGTH:,} characters", LENGTH + 1)
    found, end = [], len(text.rstrip())
    at = 0
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at + len(text[at:]) - len(text[at:].lstrip()))
        kind = str(match.lastgroup)
        word = match[kind]
        if kind == "quoted":
            word = word[1:-1].replace(word[0] * 2, word[0])
        if kind == "word" and word.lower() in KEYWORDS:
            kind, word = "keyword", word.lower()
        found.append(_Token(word, match.start(match.lastgroup or 0) + 1, kind))
        at = match.end()
    return [*found, _Token("the end", end + 1, "end")]


def _unreadable(text: str, at: int) -> FilterError:
    if text[at] in "\"'":
        return FilterError(f"the quote {text[at]} is never closed", at + 1)
    return FilterError(f"unexpected {text[at]!r}: did you mean != or not?", at + 1)


class _Parser:
    """Recursive descent, one token ahead: a method a rule."""

    def __init__(self, text: str) -> None:
        self.tokens, self.at, self.depth, self.values = _tokens(text), 0, 0, 0

    def filter(self) -> Condition:
        condition = self._either()
        if self._next.kind != "end":
            raise self._expected("and, or, or the end")
        return condition

    def _either(self) -> Condition:
        return self._joined("or", self._both)

    def _both(self) -> Condition:
        return self._joined("and", self._negated)

    def _joined(self, word: str, rule: Callable[[], Condition]) -> Condition:
        parts = [rule()]
        while self._take("keyword", word):
            parts.append(rule())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _negated(self) -> Condition:
        self.depth += 1
        if self.depth > DEPTH:
            raise FilterError(
                f"more than {DEPTH} brackets and nots within each other", self._next.position
            )
        condition = self._nested()
        self.depth -= 1
        return condition

    def _nested(self) -> Condition:
        if self._take("keyword", "not"):
            return Not(self._negated())
        if self._take("symbol", "("):
            condition = self._either()
            self._need("symbol", ")", "and, or, or )")
            return condition
        return self._condition()

    def _condition(self) -> Condition:
        column = self._word("a column, 'not' or '('")
        if self._take("keyword", "is"):
            opposite = self._take("keyword", "not")
            self._need("word", "missing", "missing" if opposite else "missing or not missing")
            return Not(Missing(column)) if opposite else Missing(column)
        if self._next.kind == "symbol" and self._next.text in OPERATORS:
            return self._compared(column)
        opposite = self._take("keyword", "not")
        self._need(
            "keyword",
            "in",
            "in" if opposite else f"an operator after {column.text!r}: = != < <= > >= in is",
        )
        among = Comparison(column, "=", self._list())
        return Not(among) if opposite else among

    def _compared(self, column: Word) -> Condition:
        operator = self._advance().text
        value = self._value()
        if operator == "!=":
            return Not(Comparison(column, "=", (value,)))
        return Comparison(column, "=" if operator == "==" else operator, (value,))

    def _list(self) -> tuple[Word, ...]:
        self._need("symbol", "(", "( and a list of values")
        values = [self._value()]
        while self._take("symbol", ","):
            values.append(self._value())
        self._need("symbol", ")", ", or )")
        return tuple(values)

    def _value(self) -> Word:
        self.values += 1
        if self.values > VALUES:
            raise FilterError(f"more than {VALUES} values", self._next.position)
        return self._word("a value")

    def _word(self, expected: str) -> Word:
        if self._next.kind not in ("word", "quoted"):
            raise self._expected(expected)
        return self._advance()

    def _need(self, kind: str, text: str, expected: str) -> None:
        if not self._take(kind, text):
            raise self._expected(expected)

    def _take(self, kind: str, text: str) -> bool:
        """Go on past the next token if it is this one."""
        found = self._next.kind == kind and self._next.text.lower() == text
        self.at += found
        return found

    def _advance(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    @property
    def _next(self) -> _Token:
        return self.tokens[self.at]

    def _expected(self, expected: str) -> FilterError:
        token = self._next
        found = token.text if token.kind == "end" else repr(token.text[:40])
        advice = (
            " (a keyword: to mean the word, put it in quotes)" if token.kind == "keyword" else ""
        )
        return FilterError(f"expected {expected}; found {found}{advice}", token.position)
