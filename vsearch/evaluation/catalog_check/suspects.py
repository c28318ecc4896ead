from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from vsearch.evaluation.catalog_check.findings import Finding, Limits
from vsearch.evaluation.catalog_check.neighbours import NONE, Neighbours

MANY = 20  # photos that a label needs for a meaningful distribution of distances
TO_DEVIATION = 1.4826  # a normal distribution's standard deviation / its median absolute deviation
# If a label's photos hardly deviate, small distances are not outliers. The least deviation:
LEAST_SHARE = 0.1  # of the median
LEAST = 1e-6
SHOWN = 5  # neighbours in a finding


def mislabels(
    found: Neighbours, contents: Sequence[np.ndarray], labels: np.ndarray
) -> Iterator[Finding]:
    """Yield the items whose nearest neighbours all have one label that isn't theirs.

    Args:
        found: the nearest neighbours of every content, without copies; contents with too few are
            skipped.
        contents: each content's rows of items; it has the label of the first.
        labels: labels of the items.
    """
    own = labels[[rows[0] for rows in contents]]
    for content, places in enumerate(found.positions):
        theirs = set(own[places])
        if NONE in places or len(theirs) != 1:
            continue
        (other,) = theirs
        score = float(found.scores[content].mean())
        for row in contents[content].tolist():
            if labels[row] != other:
                nearest = f"its {len(places)} nearest are {other!r} (mean score {score:.3f})"
                text = f"{labels[row]!r}, but {nearest}"
                yield Finding("mislabel", (row,), round(score, 4), text, _shown(places, contents))


def outliers(
    found: Neighbours, contents: Sequence[np.ndarray], labels: np.ndarray, limits: Limits
) -> Iterator[Finding]:
    """Yield the contents that are much farther from their neighbours than others of their label.

    The measure is the mean distance (not squared) to the neighbours, of any label. It is compared
    with the label's median and median absolute deviation, which outliers hardly change (Leys et al.
    2013, "Detecting outliers"). Labels of fewer than 20 photos count as one label, and are skipped
    if they have fewer together. Arguments as for `mislabels`.
    """
    if not found.positions.shape[1]:
        return
    scores = np.where(found.positions == NONE, np.nan, found.scores)
    distance = pd.Series(np.sqrt(np.maximum(2 - 2 * scores, 0)).mean(1))
    own = pd.Series(labels[[rows[0] for rows in contents]])
    far = _deviations(distance, own.where(_is_large(own), "")).to_numpy()
    for content in np.flatnonzero(far > limits.outlier).tolist():
        row = int(contents[content][0])
        value = float(far[content])
        text = f"{value:.1f} deviations farther from its nearest than usual for {own[content]!r}"
        others = _shown(found.positions[content], contents)
        yield Finding("outlier", (row,), round(value, 2), text, others)


def _is_large(groups: pd.Series) -> pd.Series:
    return groups.groupby(groups).transform("size") >= MANY


def _deviations(distance: pd.Series, groups: pd.Series) -> pd.Series:
    """Return how many robust standard deviations each is above its group's median."""
    middle = distance.groupby(groups).transform("median")
    spread = TO_DEVIATION * (distance - middle).abs().groupby(groups).transform("median")
    spread = spread.clip(lower=LEAST_SHARE * middle).clip(lower=LEAST)
    return ((distance - middle) / spread).where(_is_large(groups))


def _shown(places: np.ndarray, contents: Sequence[np.ndarray]) -> tuple[int, ...]:
    return tuple(int(contents[place][0]) for place in places[:SHOWN] if place != NONE)
