from collections.abc import Sequence

import numpy as np

from vsearch.indexes.base import Index

ALPHA = 6  # with 0 all hits would count equally; higher values favour the nearest ones


def expanded(query: np.ndarray, scores: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return a query moved towards its best hits, float32 (dim,) of unit length.

    Alpha query expansion (Radenović et al. 2018, "Fine-tuning CNN image retrieval with no human
    annotation"): query + sum of max(score, 0)^ALPHA * hit. Its dot product with the query is at
    least 1, so it always has a direction.

    Args:
        query: float32 (dim,), unit length.
        scores: cosines of the hits, float32 (k,); k may be 0.
        vectors: the hits, float32 (k, dim), unit length.
    """
    weights = np.maximum(scores, 0) ** ALPHA
    moved = query + weights @ vectors
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def kept_vectors(index: Index, positions: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return unit vectors, float32 (n, dim), of items, as exactly as the index keeps them.

    Raises:
        ValueError: the index can't give vectors back.
    """
    kept = index.vectors(np.array(positions, dtype=np.int64))
    return kept / np.linalg.norm(kept, axis=1, keepdims=True)  # codes decode to other lengths
