"""A lower bound on L2 distances, from a few principal components in 8 bits.

Let Q (dim, p) have orthonormal columns and y(v) = Q'v. A projection shortens, so |y(q) - y(x)| <=
|q - x|. A code c(v) of p whole numbers from 0 to 255 stands for low + step c(v), a point within
t(v) of y(v). By the triangle inequality,

    step |c(q) - c(x)| <= |q - x| + t(q) + t(x).

Distances of codes are exact, as sums of whole numbers; `prefix` searches by them.

The effect of rounding (n operations of unit roundoff u: g_n(u) = n u / (1 - n u); Higham, Accuracy
and Stability of Numerical Algorithms, ch. 3; true for any order of summation, and with FMA; u =
2^-24 in float32, in which queries are projected, and 2^-53 in float64, as for vectors):

1. B, the basis, is not quite orthonormal. With e = |B'B - I|, its polar factor Q has |B - Q| <= e
   (every singular value t has |t - 1| <= |t^2 - 1|). e is measured in float64; its own rounding of
   at most p g_dim(2^-53) is added.
2. A computed projection is off by at most eta |v|, eta = sqrt(p) (1 + e) g_dim(u) + e, as the
   columns of B are no longer than 1 + e. That is added to t(v).
3. t(v), a norm of p differences, is computed in float64 from numbers no larger than |y(v)| and the
   grid's |low| and 256 step sqrt(p): 2^-40 of these is more than it is off, and is added.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

CHUNK = 4096  # vectors in float64 at a time
MORE = 2.0**-40  # than a few thousand operations in float64 are off
TINY = 1e-30  # more than underflow can take away
FINEST = 1e-9  # step; a finer grid would show how projections are rounded
FAR = 2.0**13  # farther than codes are apart


@dataclass(frozen=True)
class Codes:
    """Codes of vectors or queries."""

    numbers: np.ndarray  # float32 (m, p), whole, from 0 to 255
    errors: np.ndarray  # t, float64 (m,)


@dataclass(frozen=True)
class Grid:
    """The axes and the grid that code vectors and queries."""

    basis: np.ndarray  # float32 (dim, p), orthonormal columns
    low: np.ndarray  # float64 (p,)
    step: float

    @classmethod
    def over(cls, vectors: np.ndarray, basis: np.ndarray) -> Self:
        """Return a grid that covers float32 (n, dim) vectors on float32 (dim, p) axes."""
        low = np.full(basis.shape[1], np.inf)
        high = -low
        wide = basis.astype(np.float64)
        for start in range(0, len(vectors), CHUNK):
            y = vectors[start : start + CHUNK].astype(np.float64) @ wide
            low = np.minimum(low, y.min(axis=0))
            high = np.maximum(high, y.max(axis=0))
        return cls(basis, low, max(FINEST, float((high - low).max()) / 255))

    @property
    def components(self) -> int:
        """The number of axes."""
        return self.basis.shape[1]

    @cached_property
    def reach(self) -> float:
        """The length of a vector of the grid's largest numbers."""
        return float(np.linalg.norm(self.low) + 256 * self.step * self.components**0.5)

    @cached_property
    def departure(self) -> float:
        """|B'B - I| of the basis, or a little more; as much as |B - Q| may be."""
        dim, p = self.basis.shape
        wide = self.basis.astype(np.float64)
        off = np.linalg.norm(wide.T @ wide - np.eye(p))
        return float(1.01 * (off + p * gamma(dim, 2.0**-53)))

    def coded(self, vectors: np.ndarray) -> Codes:
        """Return the codes of float32 (m, dim) vectors, projected in float64."""
        y = vectors.astype(np.float64) @ self.basis.astype(np.float64)
        return self._codes(vectors, y, 2.0**-53)

    def query_codes(self, queries: np.ndarray) -> Codes:
        """Return the codes of float32 (q, dim) queries, projected in float32."""
        return self._codes(queries, queries @ self.basis, 2.0**-24)

    def code_distance(self, distances: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Return how far codes are apart at most, if vectors are within L2 distances (q,).

        `errors`: t(q) + t(x), float64 (q,).
        """
        return np.minimum((1 + MORE) * (distances + errors) / self.step, FAR)

    def _codes(self, vectors: np.ndarray, y: np.ndarray, u: float) -> Codes:
        """Return codes (m, p) of vectors (m, dim), whose projections y have unit roundoff u."""
        steps = (y - self.low) / self.step
        numbers = np.minimum(np.maximum(np.rint(steps), 0), 255)  # np.clip takes longer
        errors = self.step * squared_lengths(steps - numbers) ** 0.5
        dim, p = self.basis.shape
        eta = p**0.5 * (1 + self.departure) * gamma(dim, u) + self.departure
        lengths = 1.01 * squared_lengths(vectors) ** 0.5
        errors += (eta + MORE) * lengths + MORE * self.reach
        return Codes(numbers.astype(np.float32), errors)


def squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the squared lengths (m,) of vectors (m, dim)."""
    return np.einsum("md,md->m", vectors, vectors)  # np.linalg.norm takes longer


def farthest(distances_l2sq: np.ndarray, dim: int) -> np.ndarray:
    """Return the largest L2 distances (q,) of (dim,) vectors that may seem as near as these.

    A float32 sum of squared differences is off by at most g_{dim+2}(2^-24) of itself, in any order:
    these squares (q,), the same ones computed again, and those of other vectors.
    """
    off = gamma(dim + 4, 2.0**-24)
    return (1 + MORE) * (distances_l2sq * (1 + off) / (1 - off) ** 2 + TINY) ** 0.5


def principal_axes(sample: np.ndarray, components: int) -> np.ndarray:
    """Return the first uncentred principal axes of vectors (m, dim): float64 (dim, components).

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011,
    https://arxiv.org/abs/0909.4061, algorithm 4.4). The axes decide how much the bound prunes, not
    whether it holds.
    """
    dim = sample.shape[1]
    wide = min(dim, components + 16)
    axes = np.random.default_rng(0).standard_normal((dim, wide)).astype(np.float32)
    for _ in range(2):
        axes = np.linalg.qr(sample.T @ (sample @ axes))[0]
    inside = (sample @ axes).astype(np.float64)
    rotation = np.linalg.eigh(inside.T @ inside)[1][:, ::-1]
    return np.linalg.qr(axes.astype(np.float64) @ rotation)[0][:, :components]


def turned(axes: np.ndarray) -> np.ndarray:
    """Return axes (dim, p) of the same space along which vectors spread alike: a finer grid."""
    p = axes.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((p, p)))[0]
    return (axes @ rotation).astype(np.float32)


def gamma(n: int, u: float) -> float:
    """Return g_n(u): the share by which n roundings can change a result."""
    return n * u / (1 - n * u)
