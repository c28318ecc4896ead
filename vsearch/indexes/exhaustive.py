import numpy as np


def search_among(
    vectors: np.ndarray, positions: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compare queries with each of some vectors: scores (cosines, float32 (q, k), best first) and positions (q, k).

    Args:
        vectors: float32 (m, dim), unit length.
        positions: int (m,), where each stands in the index; rising, so that of equal scores the first position wins.
        queries: float32 (q, dim), unit length.
        k: hits a query; lowered to m.
    """
    scores = np.clip(queries @ vectors.T, -1, 1)
    k = min(k, len(positions))
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), positions[order]
