from dataclasses import dataclass

import numpy as np

UNIT = 2.0**-24  # half a unit in float32's last place
CHUNK = 8192  # vectors turned at once, in float64


@dataclass(frozen=True)
class Basis:
    """What vectors are projected on: `centre` (dim,) and the first principal components `axes` (dim, p), float64."""

    centre: np.ndarray
    axes: np.ndarray

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return float32 (n, p + 1): each vector's p coordinates, then the length of what they leave out."""
        parts = [self._project(vectors[start : start + CHUNK]) for start in range(0, len(vectors), CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, self.axes.shape[1] + 1), dtype=np.float32)

    def _project(self, vectors: np.ndarray) -> np.ndarray:
        offset = vectors.astype(np.float64) - self.centre
        prefix = offset @ self.axes
        left = np.einsum("ij,ij->i", offset, offset) - np.einsum("ij,ij->i", prefix, prefix)
        return np.concatenate([prefix, np.sqrt(np.maximum(left, 0))[:, None]], axis=1).astype(np.float32)

    def narrowed(self, p: int) -> "Basis":
        """Return the basis of the first `p` of its components."""
        return Basis(self.centre, np.ascontiguousarray(self.axes[:, :p]))


def principal(vectors: np.ndarray, p: int) -> Basis:
    """Return about the first `p` principal components of float32 (n, dim) vectors, orthonormal to float64's precision.

    By subspace iteration from random directions (Halko, Martinsson and Tropp 2011): ten times faster than all
    eigenvectors. Any orthonormal axes give a right bound, the principal ones a tight one.
    """
    centre, dim = vectors.mean(axis=0, dtype=np.float64), vectors.shape[1]
    offset = vectors - centre.astype(np.float32)
    spread = (offset.T @ offset).astype(np.float64)
    axes = np.random.default_rng(0).standard_normal((dim, min(dim, p + 16)))
    for _ in range(4):
        axes, _ = np.linalg.qr(spread @ axes)
    _, turn = np.linalg.eigh(axes.T @ spread @ axes)
    return Basis(centre, np.ascontiguousarray((axes @ turn)[:, ::-1][:, :p]))


def lower_bounds(projected: np.ndarray, lengths_sq: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return float32 (n,) or (q, n): what no squared L2 distance to the query falls below, but for `guard`.

    With y the first p coordinates of a vector in an orthonormal basis and r the length of the rest, the rests of a and
    b have an inner product <= r_a r_b (Cauchy-Schwarz), so |a - b|^2 >= |y_a - y_b|^2 + (r_a - r_b)^2: the squared
    distance of the vectors (y, r), which is computed here as |z|^2 - 2 z.w + |w|^2.

    Args:
        projected: float32 (n, p + 1), of `Basis.project`.
        lengths_sq: float32 (n,), their squared lengths.
        query: float32 (p + 1,) or (q, p + 1), projected too.
    """
    bounds = query @ projected.T
    bounds *= -2
    bounds += lengths_sq
    bounds += np.einsum("...j,...j->...", query, query)[..., None] if query.ndim > 1 else query @ query
    return bounds


def guard(limit: float | np.ndarray, p: int, dim: int, longest: float) -> float | np.ndarray:
    """Return what to add to a limit so that rounding never hides a vector whose distance is within it.

    With u = 2^-24, g(n) = n u / (1 - n u) (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 3.1) and
    every |x - centre| <= `longest` = B:

    - projections are computed in float64 and rounded once to float32: u B. The rest's length is the root of a
      difference of float64 sums, which with axes that are orthonormal to dim 2^-52 is right to sqrt(dim 2^-51) B. With
      e the sum of the two, |z - w| is off by at most 2 e B; its square, as |q - x| <= 2 B, by 8 e B^2 + 4 e^2 B^2;
    - |z|^2, |w|^2 and 2 z.w are sums of p + 1 products, wrong by at most g(p + 1) B^2 each (the last by twice that),
      and adding them rounds values up to 4 B^2 three times: 4 g(p + 1) B^2 + 12 u B^2 in all;
    - the limit itself, a sum of `dim` squares of rounded differences, may lie g(dim + 4) of itself below the truth.

    Args:
        limit: the k-th best squared distance, as it was computed.
        p: components.
        dim: of the vectors.
        longest: B.
    """
    off = UNIT + np.sqrt(dim * 2.0**-51)
    return _g(dim + 4) * limit + (9 * off + 4 * _g(p + 1) + 12 * UNIT) * float(longest) ** 2


def _g(n: int) -> float:
    return n * UNIT / (1 - n * UNIT)
