from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

DEFAULT_K, MOST_K = 12, 60  # hits on a page
EXPAND = 10  # hits that move an expanded query
IN, LOW, HIGH = "in.", "from.", "to."  # prefixes of a column's name in the URL
MOST_EXAMPLES = 20
LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Search:
    """A search as the page's URL holds it: everything except a photo, which stays private.

    Attributes:
        like: ids of items as examples of what to find.
        unlike: ids of items as examples of what not to find.
        text: words; empty: none.
        k: number of hits, 1 to MOST_K.
        min_percent: lowest similarity in percent, 0 to 100; 0: any.
        among: the values that an item may have in a column; other columns may have any.
        between: the lowest and the highest number that it may have in a column.
        expand: whether to search again with a query moved by the best hits.
        item: id of the item shown instead of the results; empty: none.
    """

    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    text: str = ""
    k: int = DEFAULT_K
    min_percent: int = 0
    among: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    expand: bool = False
    item: str = ""

    @classmethod
    def from_url(cls, params: Mapping[str, list[str]]) -> Self:
        """Return the search in a URL. Invalid parameters are ignored: people edit URLs."""
        among = {}
        between = {}
        for name, values in params.items():
            if name.startswith(IN):
                among[name.removeprefix(IN)] = tuple(values)
            elif name.startswith(LOW):
                column = name.removeprefix(LOW)
                low = _number(values)
                high = _number(params.get(HIGH + column))
                if low is not None and high is not None and low <= high:
                    between[column] = (low, high)
        like = _ids(params.get("like", []))
        return cls(
            like=like,
            unlike=tuple(item for item in _ids(params.get("unlike", [])) if item not in like),
            text=(params.get("text") or [""])[-1].strip()[:LONGEST_TEXT],
            k=_whole(params.get("k"), DEFAULT_K, 1, MOST_K),
            min_percent=_whole(params.get("min"), 0, 0, 100),
            among=among,
            between=between,
            expand="expand" in params,
            item=(params.get("item") or [""])[-1],
        )

    def to_url(self) -> dict[str, list[str]]:
        """Return the parameters that `from_url` reads; defaults are left out."""
        found: dict[str, list[str]] = {"like": [*self.like], "unlike": [*self.unlike]}
        for column, values in self.among.items():
            found[IN + column] = [*values]
        for column, (low, high) in self.between.items():
            found[LOW + column] = [f"{low:.12g}"]
            found[HIGH + column] = [f"{high:.12g}"]
        if self.text:
            found["text"] = [self.text]
        if self.k != DEFAULT_K:
            found["k"] = [str(self.k)]
        if self.min_percent:
            found["min"] = [str(self.min_percent)]
        if self.expand:
            found["expand"] = ["yes"]
        if self.item:
            found["item"] = [self.item]
        return {name: values for name, values in found.items() if values}

    def more(self, item: str) -> Self:
        """Return the search for more like an item."""
        rest = self.without(item)
        return replace(rest, like=(*rest.like, item)[-MOST_EXAMPLES:], item="")

    def less(self, item: str) -> Self:
        """Return the search for less like an item."""
        rest = self.without(item)
        return replace(rest, unlike=(*rest.unlike, item)[-MOST_EXAMPLES:], item="")

    def without(self, item: str) -> Self:
        """Return the search without an item as example."""
        like = tuple(one for one in self.like if one != item)
        unlike = tuple(one for one in self.unlike if one != item)
        return replace(self, like=like, unlike=unlike)

    def in_words(self, with_photo: bool) -> str:
        """Return the query in words."""
        likes = [f"like {item}" for item in self.like]
        unlikes = [f"unlike {item}" for item in self.unlike]
        words = [f'"{self.text}"'] if self.text else []
        return ", ".join([*(["your photo"] if with_photo else []), *words, *likes, *unlikes])

    @property
    def where(self) -> str | None:
        """The filter in the language of `vsearch.search.filters.grammar`; None: no filter."""
        conditions = []
        for column, values in self.among.items():
            if values:
                conditions.append(f"{_quoted(column)} in ({', '.join(map(_quoted, values))})")
        for column, (low, high) in self.between.items():
            name = _quoted(column)
            conditions.append(f"{name} >= {low:.12g} and {name} <= {high:.12g}")
        return " and ".join(conditions) or None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for the client's searches."""
        min_score = self.min_percent / 100 if self.min_percent else None
        expand = EXPAND if self.expand else 0
        found = {"k": self.k, "where": self.where, "min_score": min_score, "expand": expand}
        return {**found, "text": self.text} if self.text else found


def _ids(given: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, given)))[:MOST_EXAMPLES]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _whole(values: list[str] | None, default: int, low: int, high: int) -> int:
    number = _number(values)
    return default if number is None else int(min(max(number, low), high))


def _number(values: list[str] | None) -> float | None:
    try:
        number = float(values[-1]) if values else float("nan")
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
