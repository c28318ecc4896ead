from collections.abc import Callable

import numpy as np

PIECE = 16_384  # vectors held at once: 128 MB of 2,048 dimensions

# Scores (cosines, float32 (q, k), best first) and positions (int64 (q, k))
Hits = tuple[np.ndarray, np.ndarray]


def search_among(vectors: np.ndarray, positions: np.ndarray, queries: np.ndarray, k: int) -> Hits:
    """Return the k best, or all, of float32 (m, dim) vectors for float32 (q, dim) queries.

    `positions`, int (m,), are the vectors' in the index. They rise, so that the first one wins
    among equal scores.
    """
    scores = np.clip(queries @ vectors.T, -1, 1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), positions[order]


def search_in_pieces(
    vectors: Callable[[np.ndarray], np.ndarray], positions: np.ndarray, queries: np.ndarray, k: int
) -> Hits:
    """Like `search_among`, but call `vectors` for PIECE positions at a time."""
    pieces = np.split(positions, range(PIECE, len(positions), PIECE))
    return best([search_among(vectors(piece), piece, queries, k) for piece in pieces], k)


def best(found: list[Hits], k: int) -> Hits:
    """Return the k best, or all, of several answers; among equal scores the first position wins.

    Unfilled places are -1.
    """
    scores, positions = (np.concatenate(pair, axis=1) for pair in zip(*found, strict=True))
    scores = np.where(positions < 0, np.float32(-1), scores)
    unfilled_last = np.where(positions < 0, np.inf, -scores)
    order = np.lexsort((positions, unfilled_last), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
