from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
import pandas as pd

from vsearch.data.catalogs.base import is_blank
from vsearch.evaluation.metrics import chance, per_query
from vsearch.evaluation.scoring import MAX_DEPTH, Embedded, Scores, exclusions, relevant

METRICS = (
    "precision_at_1",
    "precision_at_5",
    "precision_at_10",
    "cmc_at_5",
    "cmc_at_10",
    "ndcg_at_10",
)
GRADED = "ndcg_at_10"
# Entry n: what n hits of gain 1 at the top give, each discounted by log2(1 + its rank).
DISCOUNTED = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, MAX_DEPTH + 2)))])


@dataclass(frozen=True)
class Attributes:
    """What queries and gallery items are known to be.

    Attributes:
        names: `label`, then the axes: columns of metadata.
        queries: int (q, a), a code for each attribute's value; equal values have equal codes, -1 is
            missing.
        gallery: int (n, a), the same for the gallery.
    """

    names: tuple[str, ...]
    queries: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True)
class Axis:
    """One axis: its scores, how many values the gallery has of it, and how many queries have none."""

    scores: Scores
    values: int
    missing: int


@dataclass(frozen=True)
class AxesScores:
    """What every query got on each axis, and under graded relevance (`GRADED` alone)."""

    axes: dict[str, Axis]
    graded: Scores


def attributes(queries: pd.DataFrame, gallery: pd.DataFrame, axes: Sequence[str]) -> Attributes:
    """Read the label and the `axes` of both sides. NaN, None and blank text are missing values."""
    names = ("label", *axes)
    both = pd.concat([queries[list(names)], gallery[list(names)]], ignore_index=True)
    codes = np.stack([_codes(both[name]) for name in names], axis=1)
    return Attributes(names, codes[: len(queries)], codes[len(queries) :])


def score_axes(
    hits: np.ndarray, queries: Embedded, gallery: Embedded, known: Attributes
) -> AxesScores:
    """Score every query's 10 best hits, as `evaluate.top_hits` returns them, on each axis.

    On an axis, an item is relevant if it has the query's value there. Queries without a value, or
    whose value the gallery lacks, are counted and left out. The metrics of full depth (`map_at_r`,
    `r_precision`) are left out too: of an axis of two values, half of the gallery is relevant, and
    all of it would have to be searched. So is `recall_at_10`, which stays near 0 there.
    """
    columns = {name: number for number, name in enumerate(known.names) if name != "label"}
    axes = {
        name: _axis(
            hits,
            replace(queries, labels=known.queries[:, column]),
            replace(gallery, labels=known.gallery[:, column]),
        )
        for name, column in columns.items()
    }
    return AxesScores(axes, _graded(hits, queries, gallery, known))


def _codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column.astype(str).mask(is_blank(column)))[0]


def _axis(hits: np.ndarray, queries: Embedded, gallery: Embedded) -> Axis:
    """Score hits on the axis whose codes stand in the place of the labels."""
    excluded, n_relevant = exclusions(queries, gallery)
    has_value = queries.labels >= 0
    asked = np.flatnonzero(has_value & (n_relevant > 0))
    values, n_relevant = queries.labels[asked], n_relevant[asked]
    model = per_query(relevant(hits[asked], values, gallery.labels), n_relevant)
    expected = chance(n_relevant, len(gallery) - excluded[asked])
    scores = Scores(
        model={name: model[name] for name in METRICS},
        chance={name: expected[name] for name in METRICS},
        labels=values,
        answered=asked,
        unanswerable=int(has_value.sum()) - len(asked),
    )
    return Axis(
        scores, len(np.unique(gallery.labels[gallery.labels >= 0])), int((~has_value).sum())
    )


def _graded(hits: np.ndarray, queries: Embedded, gallery: Embedded, known: Attributes) -> Scores:
    """Score hits by nDCG@10 where an item's relevance is the share of attributes in which it equals
    the query.

    Linear gain, discount 1 / log2(1 + rank), over the gain of the best ranking of the whole gallery
    (Järvelin & Kekäläinen 2002). A missing value equals nothing. Gains are counts of attributes:
    their share would cancel out. By chance: the expected gain of a random ranking, whose every rank
    has the mean relevance of the gallery.
    """
    counts = _match_counts(known.queries, known.gallery) - _excluded_counts(queries, gallery, known)
    asked = np.flatnonzero(counts[:, 1:].any(axis=1))
    counts, found = counts[asked], hits[asked]
    gains = np.where(found >= 0, _matches(known.queries[asked][:, None], known.gallery[found]), 0)
    levels, n_gallery = np.arange(counts.shape[1]), counts.sum(axis=1)
    ends = DISCOUNTED[
        np.minimum(np.cumsum(counts[:, ::-1], axis=1), MAX_DEPTH)
    ]  # where each level ends, best first
    best = np.diff(ends, axis=1, prepend=0) @ levels[::-1]
    expected = counts @ levels / n_gallery * DISCOUNTED[np.minimum(n_gallery, MAX_DEPTH)]
    return Scores(
        model={GRADED: gains @ np.diff(DISCOUNTED)[: gains.shape[1]] / best},
        chance={GRADED: expected / best},
        labels=queries.labels[asked],
        answered=asked,
        unanswerable=len(queries) - len(asked),
    )


def _matches(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Count the attributes, along the last axis, in which both are known and equal."""
    return ((wanted == found) & (wanted >= 0)).sum(axis=-1)


def _match_counts(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return int (q, a + 1): how many items of the gallery match each query in exactly 0..a
    attributes.

    No pairs are formed: for each subset of the attributes, items are grouped by their values of it
    and counted, and inclusion-exclusion leads from there to exact numbers. Time grows with 2^a (n +
    q), memory with a (n + q).
    """
    n, n_attributes = len(gallery), queries.shape[1]
    values = (
        np.concatenate([gallery, np.where(queries < 0, -2, queries)]) + 2
    )  # missing here is not missing there
    totals = np.zeros(
        (len(queries), n_attributes + 1), dtype=int
    )  # by size, summed over the subsets of that size

    def add(groups: np.ndarray, size: int, first: int) -> None:
        totals[:, size] += np.bincount(groups[:n], minlength=groups.max() + 1)[groups[n:]]
        for column in range(first, n_attributes):
            finer = groups * (values[:, column].max() + 1) + values[:, column]
            add(pd.factorize(finer)[0], size + 1, column + 1)

    add(np.zeros(len(values), dtype=int), 0, 0)
    sizes = range(n_attributes + 1)
    return totals @ np.array(
        [[(-1) ** (size + exact) * comb(size, exact) for exact in sizes] for size in sizes]
    )


def _excluded_counts(queries: Embedded, gallery: Embedded, known: Attributes) -> np.ndarray:
    """Return int (q, a + 1): the same counts over the items that share the query's key alone."""
    order = np.argsort(gallery.keys, kind="stable")
    first, end = (
        np.searchsorted(gallery.keys[order], queries.keys, side) for side in ("left", "right")
    )
    counts = np.zeros((len(queries), known.queries.shape[1] + 1), dtype=int)
    for nth in range(int((end - first).max())):  # each query's nth excluded item
        has = np.flatnonzero(first + nth < end)
        item = order[first[has] + nth]
        counts[has, _matches(known.queries[has], known.gallery[item])] += 1
    return counts
