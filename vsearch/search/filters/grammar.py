"""Filters on items, written by people: `gender = Women and (price < 30 or price is missing)`.

    filter    = conjunct { "or" conjunct }
    conjunct  = negated { "and" negated }
    negated   = "not" negated | "(" filter ")" | condition
    condition = column ("=" | "!=" | "<" | "<=" | ">" | ">=") value
              | column ["not"] "in" "(" value { "," value } ")"
              | column "is" ["not"] "missing"

Columns and values are words. Quote them if they hold spaces, brackets, commas or operators, or if
they equal a keyword; double a quote inside quotes. Keywords may be upper case; values are
case-sensitive. A column of numbers, or of text that always reads as a number, is compared as
numbers, with every operator; other text only with =, != and in. A missing value (NaN, None, blank
text) meets only `is missing`, but neither `price < 30` nor its opposite, as in SQL.

The parser is hand-written: importing lark takes longer than a search, and messages, keywords and
the limit on depth would still need code.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from vsearch.search.filters.columns import FilterError, Word
from vsearch.search.filters.conditions import Comparison, Condition, Joined, Missing, Not

# Limits against hostile filters
LENGTH = 4000  # characters
DEPTH = 32  # nested brackets and nots
VALUES = 200  # values to compare with

KEYWORDS = ("and", "or", "not", "in", "is")
OPERATORS = ("=", "==", "!=", "<", "<=", ">", ">=")
TOKEN = re.compile(
    r"""\s*(?: (?P<quoted> "(?:[^"]|"")*" | '(?:[^']|'')*' )
          | (?P<symbol> [<>=!]= | [<>=(),] )
          | (?P<word> [^\s"'<>=!(),] [^\s"<>=!(),]* ) )""",
    re.VERBOSE,
)


def parse(text: str) -> Condition:
    """Parse a filter; the grammar is at the top of this file.

    Raises:
        FilterError: names the character, what was expected there, and what was found.
    """
    return _Parser(_tokens(text)).filter()


@dataclass(frozen=True)
class _Token(Word):
    kind: str  # word, quoted, symbol, keyword, end


def _tokens(text: str) -> list[_Token]:
    if len(text) > LENGTH:
        raise FilterError(f"longer than {LENGTH:,} characters", LENGTH + 1)

    text = text.rstrip()
    found = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        found.append(_token(match))
        at = match.end()
    return [*found, _Token("the end", len(text) + 1, "end")]


def _token(match: re.Match[str]) -> _Token:
    kind = str(match.lastgroup)
    text = match[kind]
    position = match.start(kind) + 1
    if kind == "quoted":
        quote = text[0]
        return _Token(text[1:-1].replace(quote * 2, quote), position, kind)
    if kind == "word" and text.lower() in KEYWORDS:
        return _Token(text.lower(), position, "keyword")
    return _Token(text, position, kind)


def _unreadable(text: str, at: int) -> FilterError:
    rest = text[at:].lstrip()
    position = len(text) - len(rest) + 1
    if rest[0] in "\"'":
        return FilterError(f"the quote {rest[0]} is never closed", position)
    return FilterError(f"unexpected {rest[0]!r}: did you mean != or not?", position)


class _Parser:
    """Recursive descent with one token of lookahead; each rule is a method."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.values = 0

    def filter(self) -> Condition:
        condition = self._either()
        if self._next.kind != "end":
            raise self._expected("and, or, or the end")
        return condition

    def _either(self) -> Condition:
        return self._joined("or", lambda: self._joined("and", self._negated))

    def _joined(self, word: str, rule: Callable[[], Condition]) -> Condition:
        found = [rule()]
        while self._take(word):
            found.append(rule())
        return found[0] if len(found) == 1 else Joined(word, tuple(found))

    def _negated(self) -> Condition:
        self.depth += 1
        if self.depth > DEPTH:
            message = f"more than {DEPTH} nested brackets and nots"
            raise FilterError(message, self._next.position)
        condition = self._nested()
        self.depth -= 1
        return condition

    def _nested(self) -> Condition:
        if self._take("not"):
            return Not(self._negated())
        if self._take("("):
            condition = self._either()
            self._need(")", "and, or, or )")
            return condition
        return self._condition()

    def _condition(self) -> Condition:
        column = self._word("a column, 'not' or '('")
        if self._take("is"):
            return self._missing(column)
        if self._next.kind == "symbol" and self._next.text in OPERATORS:
            return self._compared(column)

        opposite = self._take("not")
        operators = f"an operator after {column.text!r}: = != < <= > >= in is"
        self._need("in", "in" if opposite else operators)
        self._need("(", "( and a list of values")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")", ", or )")
        among = Comparison(column, "=", tuple(values))
        return Not(among) if opposite else among

    def _missing(self, column: Word) -> Condition:
        opposite = self._take("not")
        self._need("missing", "missing" if opposite else "missing or not missing")
        return Not(Missing(column)) if opposite else Missing(column)

    def _compared(self, column: Word) -> Condition:
        operator = self._advance().text
        value = self._value()
        if operator == "!=":
            return Not(Comparison(column, "=", (value,)))
        return Comparison(column, "=" if operator == "==" else operator, (value,))

    def _value(self) -> Word:
        self.values += 1
        if self.values > VALUES:
            raise FilterError(f"more than {VALUES} values", self._next.position)
        return self._word("a value")

    def _word(self, expected: str) -> Word:
        if self._next.kind not in ("word", "quoted"):
            raise self._expected(expected)
        return self._advance()

    def _need(self, text: str, expected: str) -> None:
        if not self._take(text):
            raise self._expected(expected)

    def _take(self, text: str) -> bool:
        """Move past the next token if it is this one."""
        found = self._next.kind != "quoted" and self._next.text.lower() == text
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
        if token.kind == "keyword":
            found += " (a keyword: quote it to use it as a word)"
        return FilterError(f"expected {expected}; found {found}", token.position)
