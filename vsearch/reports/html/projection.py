import logging
from dataclasses import dataclass

import faiss
import numpy as np

FEWEST = 50  # vectors; with fewer, PaCMAP's neighbours are nearly all of them
DIM = 50  # components that PaCMAP starts from: more take more time


@dataclass(frozen=True)
class Projection:
    """Vectors in two dimensions, float64 (n, 2), and the method, in words."""

    points: np.ndarray
    how: str


def project(vectors: np.ndarray, seed: int) -> Projection:
    """Project float32 (n, dim) vectors to two dimensions; the same seed gives the same result.

    PaCMAP (Wang et al. 2021, "Understanding How Dimension Reduction Tools Work", JMLR 22) if its
    package is installed (the extra `map`) and there are enough vectors, else the first two
    principal components.
    """
    missing = ""
    if len(vectors) >= FEWEST:
        try:
            points = _pacmap(vectors, seed)
            return Projection(points, "PaCMAP: near points are similar, the axes have no unit")
        except ImportError:
            missing = " (PaCMAP shows groups better: install vsearch with the extra `map`)"
    points, kept = principal(vectors)
    share = f"the first two principal components, which have {100 * kept:.0f} % of the variance"
    return Projection(points, share + missing)


def principal(vectors: np.ndarray, n: int = 2) -> tuple[np.ndarray, float]:
    """Return the first principal components, (m, n) of (m, dim), and their share of the variance.

    Each component's largest entry is positive, so the picture isn't mirrored on some machines.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    strength, axes = np.linalg.eigh(centred @ centred.T)
    strength = np.maximum(strength[::-1], 0)  # strongest first
    axes = axes[:, ::-1]
    points = np.zeros((len(vectors), n))
    points[:, : len(strength)] = (axes * np.sqrt(strength))[:, :n]
    largest = points[np.abs(points).argmax(axis=0), np.arange(n)]
    points *= np.where(largest < 0, -1, 1)
    total = strength.sum()
    return points, float(strength[:n].sum() / total) if total > 0 else 1.0


def _pacmap(vectors: np.ndarray, seed: int) -> np.ndarray:
    import pacmap

    talk = logging.getLogger("pacmap")
    threads = faiss.omp_get_max_threads()
    before = talk.level
    talk.setLevel(logging.ERROR)  # "random state is set": intended
    reduced, _ = principal(vectors, min(DIM, *vectors.shape))
    reduced = reduced.round(5)  # the last digits depend on the number of threads
    try:
        points = pacmap.PaCMAP(random_state=seed).fit_transform(reduced.astype(np.float32))
    finally:
        talk.setLevel(before)
        faiss.omp_set_num_threads(threads)  # PaCMAP sets it to 1 for the whole process
    if not np.isfinite(points).all():
        raise ValueError("PaCMAP's points aren't finite")
    return np.asarray(points, dtype=np.float64)
