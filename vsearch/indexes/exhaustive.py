from collections.abc import Callable

import numpy as np

PIECE = 16_384  # vectors held at once: 128 MB of 2,048 dimensions


def search_among(
    vectors: np.ndarray, positions: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare queries with each of some vectors: scores (cosines, float32 (q, k), best first) and
    positions (q, k).

    Args:
        vectors: float32 (m, dim), unit length.
        positions: int (m,), where each stands in the index; rising, so that of equal scores the
            first position wins.
        queries: float32 (q, dim), unit length.
        k: hits a query; lowered to m.
    """
    scores = np.clip(queries @ vectors.T, -1, 1)
    k = min(k, len(positions))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), positions[order]


def search_in_pieces(
    vectors: Callable[[np.ndarray], np.ndarray], positions: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `search_among` does, for vectors that `vectors` fetches by their positions, PIECE
    at a time.
    """
    best = search_among(vectors(positions[:PIECE]), positions[:PIECE], queries, k)
    for start in range(PIECE, len(positions), PIECE):
        piece = positions[start : start + PIECE]
        more = search_among(vectors(piece), piece, queries, k)
        scores, found = (np.concatenate(pair, axis=1) for pair in zip(best, more, strict=True))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1), np.take_along_axis(found, order, axis=1)
    return best
