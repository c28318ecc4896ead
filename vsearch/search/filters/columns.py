from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.data.items import NUMBER, text_of
from vsearch.errors import VsearchError


class FilterError(VsearchError):
    """A filter can't be understood, or doesn't fit the items; `position`: the character, from 1."""

    def __init__(self, message: str, position: int | None) -> None:
        place = "" if position is None else f"filter, character {position}: "
        super().__init__(place + message)
        self.position = position


@dataclass(frozen=True)
class Word:
    """A name or a value as written, and the number of its first character, from 1."""

    text: str
    position: int


class Column:
    """The values of one column. NaN, null and blank text are missing.

    Attributes:
        codes: int (n,), which of the m distinct values each item has; -1: none.
        texts: the distinct values as text.
        numbers: (m,), the distinct values as numbers; None if one isn't a number.
        truths: whether they are truth values.
    """

    def __init__(self, values: pa.ChunkedArray) -> None:
        if pa.types.is_nested(values.type):  # lists and structures can't be hashed
            plain = [None if value is None else text_of(value) for value in values.to_pylist()]
            values = pa.chunked_array([pa.array(plain, pa.string())])
        if pa.types.is_null(values.type):
            values = values.cast(pa.string())
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)

        encoded = values.combine_chunks().dictionary_encode()
        self.codes = encoded.indices.fill_null(-1).to_numpy()
        self.truths = pa.types.is_boolean(values.type)
        self.numbers: np.ndarray | None
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            self.numbers = encoded.dictionary.to_numpy()
            self.texts = [str(number) for number in self.numbers]
            return

        texts = [text_of(value) for value in encoded.dictionary.to_pylist()]
        self.texts = [text.lower() for text in texts] if self.truths else texts
        blank = np.array([not text.strip() for text in self.texts] + [True])
        self.codes = np.where(blank[self.codes], -1, self.codes)
        self.numbers = self._read_numbers()

    def having(self, marked: np.ndarray) -> np.ndarray:
        """Return bool (n,): which items have one of the distinct values that bool (m,) marks."""
        return np.append(marked, False)[self.codes]

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many items have each item's value, int (n,); 1 for those without a value."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))
        return np.append(counts, 1)[self.codes]

    def same(self, positions: np.ndarray) -> np.ndarray:
        """Return bool (n,): which items have the value of one at int (m,) positions, or are it."""
        codes = self.codes[positions]
        marked = np.zeros(len(self.texts), dtype=bool)
        marked[codes[codes >= 0]] = True
        found = self.having(marked)
        found[positions] = True
        return found

    def known(self) -> list[str]:
        """Return the distinct values that aren't blank, sorted."""
        keys = np.array(self.texts) if self.numbers is None else self.numbers
        ordered = [self.texts[number] for number in np.argsort(keys, kind="stable")]
        return [text for text in ordered if text.strip()]

    def _read_numbers(self) -> np.ndarray | None:
        texts = [text.strip() for text in self.texts]
        written = [text for text in texts if text]
        if self.truths or not written or not all(map(NUMBER.fullmatch, written)):
            return None
        return np.array([float(text or "nan") for text in texts])


class Table:
    """Items, whose columns are prepared when first used."""

    def __init__(self, items: pa.Table) -> None:
        self._items = items
        self._columns: dict[str, Column] = {}

    def column(self, name: str, position: int | None = None) -> Column:
        """Return a column by its name, read at `position`, or raise a FilterError."""
        if name not in self._columns:
            names = self._items.column_names
            if name not in names:
                close = get_close_matches(name, names, n=1)
                guess = f" (did you mean {close[0]}?)" if close else ""
                message = f"no column {name!r}{guess}; the columns are {', '.join(names)}"
                raise FilterError(message, position)
            self._columns[name] = Column(self._items[name])
        return self._columns[name]
