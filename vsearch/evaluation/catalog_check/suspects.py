from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from vsearch.evaluation.catalog_check.base import Finding, Limits
from vsearch.evaluation.catalog_check.neighbours import NONE, Neighbours

MANY = 20  # photos that a label needs for its distances to be a distribution
TO_DEVIATION = 1.4826  # a normal distribution's standard deviation / its median absolute deviation
LEAST, TINY = (
    0.1,
    1e-6,
)  # alike photos of a label have hardly any deviation: not everything else is far from them
SHOWN = 5  # neighbours in a finding


def mislabels(
    found: Neighbours, contents: Sequence[np.ndarray], labels: np.ndarray
) -> Iterator[Finding]:
    """Yield the items whose nearest neighbours all have one label that isn't theirs; none where a
    place is empty.

    Args:
        found: of every content, the nearest without copies.
        contents: each content's rows of items; the first one's label is the content's.
        labels: text (items,).
    """
    own = labels[[rows[0] for rows in contents]]
    for content, places in enumerate(found.positions):
        if not len(places) or NONE in places or len(other := set(own[places])) > 1:
            continue
        for row in contents[content].tolist():
            if labels[row] not in other:
                mean = float(found.scores[content].mean())
                text = f"{labels[row]!r}, but its {len(places)} nearest are {own[places[0]]!r} (mean score {mean:.3f})"
                yield Finding("mislabel", (row,), round(mean, 4), text, _shown(places, contents))


def outliers(
    found: Neighbours, contents: Sequence[np.ndarray], labels: np.ndarray, limits: Limits
) -> Iterator[Finding]:
    """Yield the contents that are much farther from their neighbours than others of their label
    are.

    The measure is the mean distance (not squared) to the neighbours, of any label: what lies among
    other photos is a mislabel, not an outlier. It is set against the label's median and median
    absolute deviation, which outliers hardly move (Leys et al., "Detecting outliers", Journal of
    Experimental Social Psychology, 2013); labels of fewer than 20 photos are taken as one, and left
    alone if they have fewer together. Arguments as for `mislabels`.
    """
    if not found.positions.shape[1]:
        return
    scores = np.where(found.positions == NONE, np.nan, found.scores)
    distance = pd.Series(np.sqrt(np.maximum(2 - 2 * scores, 0)).mean(1))
    own = pd.Series(labels[[rows[0] for rows in contents]])
    large = own.groupby(own).transform("size") >= MANY
    middle, spread = _spread(distance, own.where(large, ""))
    far = ((distance - middle) / spread).to_numpy()
    for content in np.flatnonzero(far > limits.outlier).tolist():
        text = f"{far[content]:.1f} deviations farther from its nearest than is usual for {own[content]!r}"
        places = found.positions[content]
        yield Finding(
            "outlier",
            (int(contents[content][0]),),
            round(float(far[content]), 2),
            text,
            _shown(places, contents),
        )


def _spread(distance: pd.Series, own: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return each one's label's median and robust standard deviation, of a tenth of the median or
    more.
    """
    middle = distance.groupby(own).transform("median")
    spread = TO_DEVIATION * (distance - middle).abs().groupby(own).transform("median")
    enough = own.groupby(own).transform("size") >= MANY
    return middle.where(enough), spread.clip(lower=LEAST * middle).clip(lower=TINY)


def _shown(places: np.ndarray, contents: Sequence[np.ndarray]) -> tuple[int, ...]:
    return tuple(int(contents[place][0]) for place in places[:SHOWN] if place != NONE)
