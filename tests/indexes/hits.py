"""Compares answers to the same queries, whose floats may have taken different ways.

BLAS, FAISS and NumPy add in another order on other CPUs and for other batch sizes, so a score may
differ in its last digits and two hits of nearly equal scores may change places. Bits are equal only
where the same code runs on the same bytes.
"""

import numpy as np

Hits = tuple[np.ndarray, np.ndarray]  # scores and positions, each (q, k)


def assert_same_hits(mine: Hits, theirs: Hits, atol: float = 1e-6) -> None:
    """Scores agree to `atol`, and positions but for hits whose scores can't be told apart."""
    my_scores, my_positions = mine
    their_scores, their_positions = theirs
    assert my_positions.shape == their_positions.shape
    np.testing.assert_allclose(my_scores, their_scores, rtol=0, atol=atol)

    for query, place in np.argwhere(my_positions != their_positions):
        score = my_scores[query, place]
        rivals = np.flatnonzero(their_positions[query] == my_positions[query, place])
        other_place = rivals[0] if len(rivals) else -1  # it ties with the last one that was kept
        assert abs(their_scores[query, other_place] - score) <= 2 * atol, (
            f"query {query}: item {my_positions[query, place]} is not at its place"
        )


def best_of_all(
    queries: np.ndarray, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> Hits:
    """The naive oracle: every cosine in float64, the k best of those that are allowed."""
    kept = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    scores = queries.astype(np.float64) @ vectors[kept].astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), kept[order]
