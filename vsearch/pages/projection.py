import logging
from dataclasses import dataclass

import numpy as np

FEWEST = 50  # vectors below which PaCMAP's neighbours are nearly all of them


@dataclass(frozen=True)
class Projection:
    """Vectors in two dimensions: float64 (n, 2), and what made them so, in a sentence."""

    points: np.ndarray
    how: str


def project(vectors: np.ndarray, seed: int) -> Projection:
    """Lay float32 (n, dim) vectors out in two dimensions; the same for the same seed.

    PaCMAP (Wang et al. 2021, "Understanding How Dimension Reduction Tools Work", JMLR 22) if its package is there (the
    extra `map`) and there are enough vectors, else the first two principal components.
    """
    if len(vectors) >= FEWEST:
        try:
            return Projection(_pacmap(vectors, seed), "PaCMAP: near points are alike, the axes have no unit")
        except ImportError:
            missing = " (PaCMAP shows groups better: install vsearch with the extra `map`)"
            points, kept = principal(vectors)
            return Projection(points, _principal_words(kept) + missing)
    points, kept = principal(vectors)
    return Projection(points, _principal_words(kept))


def principal(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the first two principal components, (n, 2), and the share of the variance that they keep, 0..1.

    Each component's largest entry is positive, so that the picture isn't mirrored from one machine to the next.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(vectors), 2))
    points[:, : min(2, len(strength))] = (left * strength)[:, :2]
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    total = (strength**2).sum()
    return points, float((strength[:2] ** 2).sum() / total) if total > 0 else 1.0


def _principal_words(kept: float) -> str:
    return f"the first two principal components, which keep {100 * kept:.0f} % of the variance"


def _pacmap(vectors: np.ndarray, seed: int) -> np.ndarray:
    import pacmap

    talk = logging.getLogger("pacmap")
    before = talk.level
    talk.setLevel(logging.ERROR)  # "random state is set": it is meant to be
    try:
        points = pacmap.PaCMAP(random_state=seed).fit_transform(np.ascontiguousarray(vectors, dtype=np.float32))
    finally:
        talk.setLevel(before)
    if not np.isfinite(points).all():
        raise ValueError("PaCMAP's points aren't finite")
    return np.asarray(points, dtype=np.float64)
