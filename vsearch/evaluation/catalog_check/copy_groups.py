from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vsearch.evaluation.catalog_check.findings import Finding
from vsearch.evaluation.catalog_check.near_copies import Pairs


@dataclass(frozen=True)
class Group:
    """Items that are copies of one another.

    Attributes:
        rows: their rows, ascending.
        difference: the largest difference of two items that match directly, 0..255.
    """

    rows: tuple[int, ...]
    difference: float = 0.0


def by_content(
    content_hash: Sequence[str | None], left_out: Container[int] = ()
) -> list[np.ndarray]:
    """Return each distinct photo's rows, int (m,), without broken and `left_out` ones."""
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
    """Return the connected components of pairs of contents, as groups of their items.

    `contents` holds each content's rows of items, int (m,).
    """
    component = components(pairs, len(contents))
    worst = np.zeros(len(contents))
    np.maximum.at(worst, component[pairs.one], pairs.difference)
    members: dict[int, list[int]] = {}
    for content, place in enumerate(component.tolist()):
        members.setdefault(place, []).append(content)

    groups = []
    for place, own in members.items():
        if len(own) > 1:
            rows = np.concatenate([contents[content] for content in own])
            groups.append(Group(tuple(sorted(rows.tolist())), float(worst[place])))
    return groups


def group_findings(groups: Sequence[Group], items: pd.DataFrame, near: bool) -> Iterator[Finding]:
    """Yield each group as a label conflict or as copies, and again if it is in several parts."""
    prefix = "near-" if near else ""
    for group in groups:
        own = items.iloc[[*group.rows]]
        labels = sorted(set(own["label"]))
        if near:
            value = round(group.difference, 1)
            text = f"{len(own)} near copies, differing by {value:.1f}"
        else:
            value = float(len(own))
            text = f"{len(own)} identical photos"
        kind = "conflict" if len(labels) > 1 else "copies"
        yield Finding(prefix + kind, group.rows, value, f"{text}: {', '.join(labels)}")

        parts = sorted(set(own["part"]) - {""}) if "part" in own else []
        if len(parts) > 1:
            yield Finding(f"{prefix}leak", group.rows, value, f"{text} in {', '.join(parts)}")
