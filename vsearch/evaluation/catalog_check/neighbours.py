from dataclasses import dataclass

import numpy as np

from vsearch.indexes.exact import ExactIndex

NONE = -1
EXTRA = 10  # further neighbours to look at, since near copies don't count


@dataclass(frozen=True)
class Neighbours:
    """The exact nearest neighbours of each of n embeddings, without itself.

    Attributes:
        positions: int (n, m), nearest first; -1 after the last.
        scores: cosines, float (n, m).
    """

    positions: np.ndarray
    scores: np.ndarray


def nearest(vectors: np.ndarray, k: int) -> Neighbours:
    """Search every unit vector, float32 (n, dim), among all of them."""
    index = ExactIndex()
    index.build(vectors)
    scores, positions = index.search(vectors, min(k + 1, len(vectors)))
    own = positions == np.arange(len(vectors))[:, None]
    own[~own.any(1), -1] = True  # it has more than k copies and isn't among the first
    shape = (len(vectors), positions.shape[1] - 1)
    return Neighbours(positions[~own].reshape(shape), scores[~own].reshape(shape))


def without_copies(found: Neighbours, group: np.ndarray, k: int) -> Neighbours:
    """Return the first `k` neighbours that aren't copies of the photo or of an earlier neighbour.

    `group`, int (n,), has the same number for photos that are copies of one another.
    """
    positions = np.full((len(group), k), NONE, dtype=np.int64)
    scores = np.full((len(group), k), np.nan)
    for row, places in enumerate(found.positions):
        groups = group[places]
        first = np.unique(groups, return_index=True)[1]
        kept = np.sort(first[groups[first] != group[row]])[:k]
        positions[row, : len(kept)] = places[kept]
        scores[row, : len(kept)] = found.scores[row, kept]
    return Neighbours(positions, scores)
