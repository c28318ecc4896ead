from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vsearch.evaluation.catalog_check.base import Finding


@dataclass(frozen=True)
class Pairs:
    """Photos that are nearly the same, by two.

    Attributes:
        one, other: int (p,): numbers of what is compared, one != other.
        difference: float (p,): how far their colours differ at most, 0..255.
    """

    one: np.ndarray
    other: np.ndarray
    difference: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Pairs"]) -> "Pairs":
        """Return the pairs of all parts, one after the other."""
        none = cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
        columns = [(part.one, part.other, part.difference) for part in [none, *parts]]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


@dataclass(frozen=True)
class Group:
    """Items that are copies of one another.

    Attributes:
        rows: theirs, rising.
        difference: largest one between two that are directly alike, 0..255; 0 for identical photos.
    """

    rows: tuple[int, ...]
    difference: float = 0.0


def by_content(
    content_hash: Sequence[str | None], left_out: Container[int] = ()
) -> list[np.ndarray]:
    """Return the rows of each distinct photo, int (m,), in order of the first; without broken ones
    and some others.
    """
    found: dict[str, list[int]] = {}
    for row, content in enumerate(content_hash):
        if content is not None and row not in left_out:
            found.setdefault(content, []).append(row)
    return [np.array(rows, dtype=np.int64) for rows in found.values()]


def exact_groups(content_hash: Sequence[str | None]) -> list[Group]:
    """Return the groups of two or more items with pixel-identical photos."""
    return [Group(tuple(rows.tolist())) for rows in by_content(content_hash) if len(rows) > 1]


def components(pairs: Pairs, n: int) -> np.ndarray:
    """Return the connected component of each of n contents, int (n,), from 0."""
    graph = coo_array((np.ones(len(pairs.one)), (pairs.one, pairs.other)), shape=(n, n))
    found: np.ndarray = connected_components(graph, directed=False)[1]
    return found


def near_groups(pairs: Pairs, contents: Sequence[np.ndarray]) -> list[Group]:
    """Return the connected components of pairs of contents, as groups of all the items that have
    these contents.

    `contents` holds each content's rows of items, int (m,): several where photos are identical.
    """
    component = components(pairs, len(contents))
    worst = np.zeros(len(contents))
    np.maximum.at(worst, component[pairs.one], pairs.difference)
    members: dict[int, list[int]] = {}
    for content, place in enumerate(component.tolist()):
        members.setdefault(place, []).append(content)
    return [
        Group(
            tuple(sorted(np.concatenate([contents[content] for content in own]).tolist())),
            float(worst[place]),
        )
        for place, own in members.items()
        if len(own) > 1
    ]


def group_findings(groups: Sequence[Group], items: pd.DataFrame, near: bool) -> Iterator[Finding]:
    """Yield each group as a conflict or as mere copies, and once more if it lies in several parts
    of a split.

    The parts are the column `part` of `items`, if there is one.
    """
    prefix, of = ("near-", "near copies") if near else ("", "identical photos")
    labels = items["label"].to_numpy()
    parts = items["part"].to_numpy() if "part" in items else None
    for group in groups:
        rows = [*group.rows]
        value = round(group.difference, 1) if near else float(len(rows))
        names = sorted(set(labels[rows]))
        text = f"{len(rows)} {of}" + (f", differing by {value:.1f}" if near else "")
        kind = f"{prefix}conflict" if len(names) > 1 else f"{prefix}copies"
        yield Finding(kind, group.rows, value, f"{text}: {', '.join(names)}")
        if parts is not None and len(places := sorted(set(parts[rows]) - {""})) > 1:
            yield Finding(f"{prefix}leak", group.rows, value, f"{text} in {', '.join(places)}")
