from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
import pandas as pd

from vsearch.data.catalogs.base import is_blank
from vsearch.evaluation.metrics import DEPTH, TOP_GAIN, chance, per_query
from vsearch.evaluation.scoring import Embedded, Scores, exclusions, relevant

METRICS = (
    "precision_at_1",
    "precision_at_5",
    "precision_at_10",
    "cmc_at_5",
    "cmc_at_10",
    "ndcg_at_10",
)
JOINT = "label_and_{}_at_10"  # with the axis's name
GRADED = "ndcg_at_10"


@dataclass(frozen=True)
class Attributes:
    """Label and axis values of queries and gallery items.

    Attributes:
        names: `label`, then the axes: metadata columns.
        queries: int (q, a), codes of values; equal values have equal codes, -1 is missing.
        gallery: int (n, a), the same for gallery items.
    """

    names: tuple[str, ...]
    queries: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True)
class Axis:
    """One axis: its scores, its number of values in the gallery, and of queries without a value."""

    scores: Scores
    values: int
    missing: int


@dataclass(frozen=True)
class AxesScores:
    """The scores of every query on each axis, and with graded relevance (only `GRADED`)."""

    axes: dict[str, Axis]
    graded: Scores


def attributes(queries: pd.DataFrame, gallery: pd.DataFrame, axes: Sequence[str]) -> Attributes:
    """Read the label and the `axes` of both sides. NaN, None and blank text are missing values."""
    names = ("label", *axes)
    both = pd.concat([queries[list(names)], gallery[list(names)]], ignore_index=True)
    codes = np.stack([codes_of(both[name]) for name in names], axis=1)
    return Attributes(names, codes[: len(queries)], codes[len(queries) :])


def score_axes(
    hits: np.ndarray, queries: Embedded, gallery: Embedded, known: Attributes
) -> AxesScores:
    """Score every query's 10 best hits, as `scoring.top_hits` returns them, on each axis.

    On an axis, an item is relevant if it has the query's value there; for `label_and_<axis>_at_10`,
    the share of such items among the 10, it must have the query's label too. Queries without a
    value, or whose value the gallery lacks, are counted and left out. There is no `map_at_r` or
    `r_precision`: with only two values, half of the gallery is relevant, and these would have to
    search all of it. There is no `recall_at_10` either, since it would always be near 0.
    """
    axes = {}
    for column, name in enumerate(known.names[1:], start=1):
        axis_queries = replace(queries, labels=known.queries[:, column])
        axis_gallery = replace(gallery, labels=known.gallery[:, column])
        axis = _axis(hits, axis_queries, axis_gallery)

        pair = [0, column]
        both = Attributes(("label", name), known.queries[:, pair], known.gallery[:, pair])
        share, expected = _joint(hits, queries, gallery, both)
        axis.scores.model[JOINT.format(name)] = share[axis.scores.answered]
        axis.scores.chance[JOINT.format(name)] = expected[axis.scores.answered]
        axes[name] = axis
    return AxesScores(axes, _graded(hits, queries, gallery, known))


def codes_of(column: pd.Series) -> np.ndarray:
    """Return codes of a column's values, int (n,); -1 for NaN, None and blank text."""
    return pd.factorize(column.astype(str).mask(is_blank(column)))[0]


def _axis(hits: np.ndarray, queries: Embedded, gallery: Embedded) -> Axis:
    """Score hits on the axis whose codes replace the labels."""
    excluded, n_relevant = exclusions(queries, gallery)
    has_value = queries.labels >= 0
    asked = np.flatnonzero(has_value & (n_relevant > 0))
    values = queries.labels[asked]
    n_relevant = n_relevant[asked]

    model = per_query(relevant(hits[asked], values, gallery.labels), n_relevant)
    expected = chance(n_relevant, len(gallery) - excluded[asked])
    scores = Scores(
        model={name: model[name] for name in METRICS},
        chance={name: expected[name] for name in METRICS},
        labels=values,
        answered=asked,
        unanswerable=int(has_value.sum()) - len(asked),
    )
    n_values = len(np.unique(gallery.labels[gallery.labels >= 0]))
    return Axis(scores, n_values, int((~has_value).sum()))


def _joint(
    hits: np.ndarray, queries: Embedded, gallery: Embedded, both: Attributes
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of 10 hits that match each query in both attributes, and by chance."""
    matches = _matches(both.queries[:, None], both.gallery[hits])
    found = ((matches == 2) & (hits >= 0)).sum(axis=1)

    counts = _match_counts(both.queries, both.gallery) - _excluded_counts(queries, gallery, both)
    n_gallery = np.maximum(1, counts.sum(axis=1))
    expected = counts[:, 2] * np.minimum(n_gallery, DEPTH) / n_gallery
    return found / DEPTH, expected / DEPTH


def _graded(hits: np.ndarray, queries: Embedded, gallery: Embedded, known: Attributes) -> Scores:
    """Score hits by nDCG@10; an item's relevance is the share of attributes that equal the query's.

    Linear gain, divided by that of the best ranking of the whole gallery (Järvelin & Kekäläinen
    2002). Gains are counts of attributes, since the number of attributes cancels out. By chance,
    every rank has the mean relevance of the gallery.
    """
    counts = _match_counts(known.queries, known.gallery) - _excluded_counts(queries, gallery, known)
    asked = np.flatnonzero(counts[:, 1:].any(axis=1))
    counts = counts[asked]
    n_gallery = counts.sum(axis=1)
    levels = np.arange(counts.shape[1])

    found = hits[asked]
    gains = np.where(found >= 0, _matches(known.queries[asked][:, None], known.gallery[found]), 0)
    discounts = np.diff(TOP_GAIN)[: gains.shape[1]]

    level_ends = np.cumsum(counts[:, ::-1], axis=1)  # in the best ranking, the highest level first
    level_gains = np.diff(TOP_GAIN[np.minimum(level_ends, DEPTH)], axis=1, prepend=0)
    best = level_gains @ levels[::-1]
    expected = counts @ levels / n_gallery * TOP_GAIN[np.minimum(n_gallery, DEPTH)]
    return Scores(
        model={GRADED: gains @ discounts / best},
        chance={GRADED: expected / best},
        labels=queries.labels[asked],
        answered=asked,
        unanswerable=len(queries) - len(asked),
    )


def _matches(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Count the attributes, along the last axis, in which both are known and equal."""
    return ((wanted == found) & (wanted >= 0)).sum(axis=-1)


def _match_counts(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Count the gallery items that match each query in exactly 0..a attributes: int (q, a + 1).

    For each subset of the attributes, items are grouped by their values and counted; then
    inclusion-exclusion gives exact numbers. Time grows with 2^a (n + q).
    """
    n = len(gallery)
    n_attributes = queries.shape[1]
    missing_differs = np.where(queries < 0, -2, queries)  # missing values never match
    values = np.concatenate([gallery, missing_differs]) + 2
    # Column n: items that share n attributes' values, summed over the subsets of that size.
    totals = np.zeros((len(queries), n_attributes + 1), dtype=int)

    def add(groups: np.ndarray, size: int, first: int) -> None:
        totals[:, size] += np.bincount(groups[:n], minlength=groups.max() + 1)[groups[n:]]
        for column in range(first, n_attributes):
            finer = groups * (values[:, column].max() + 1) + values[:, column]
            add(pd.factorize(finer)[0], size + 1, column + 1)

    add(np.zeros(len(values), dtype=int), 0, 0)
    exactly = np.zeros_like(totals)
    for exact in range(n_attributes + 1):
        for size in range(exact, n_attributes + 1):
            exactly[:, exact] += (-1) ** (size + exact) * comb(size, exact) * totals[:, size]
    return exactly


def _excluded_counts(queries: Embedded, gallery: Embedded, known: Attributes) -> np.ndarray:
    """Count in the same way, but only over the items that share the query's key."""
    order = np.argsort(gallery.keys, kind="stable")
    keys = gallery.keys[order]
    first = np.searchsorted(keys, queries.keys, "left")
    end = np.searchsorted(keys, queries.keys, "right")
    counts = np.zeros((len(queries), known.queries.shape[1] + 1), dtype=int)
    for nth in range(int((end - first).max())):  # each query's nth excluded item
        has = np.flatnonzero(first + nth < end)
        item = order[first[has] + nth]
        counts[has, _matches(known.queries[has], known.gallery[item])] += 1
    return counts
