"""A lower bound on squared L2 distances from a few principal components and the length of the rest.

Let Q (dim, p) have orthonormal columns, Y(v) = Q'v and R(v) = sqrt(|v|^2 - |Y(v)|^2), the length of
what Q leaves out. Cauchy-Schwarz on the rests gives q.x <= Y(q).Y(x) + R(q) R(x), hence

    |q - x|^2 >= |q|^2 - 2 s(q, x),   s(q, x) = Y(q).Y(x) + R(q) R(x) - |x|^2 / 2 = a(q).a(x),

with a(q) = [Y(q), R(q), 1] and a(x) = [Y(x), R(x), -|x|^2 / 2]: one product of p + 2 numbers a
vector. For any vectors, not only those of unit length, it is the same as |q - x|^2 >= |Y(q) -
Y(x)|^2 + (R(q) - R(x))^2.

What rounding can do (n operations of unit roundoff u: g_n(u) = n u / (1 - n u); Higham, Accuracy
and Stability of Numerical Algorithms, ch. 3; u = 2^-24 in float32, 2^-53 in float64; true for any
order of summation, and with FMA):

1. B, the basis in float64, is not quite orthonormal. With e = |B'B - I|, its polar factor Q has |B
   - Q| <= e (every singular value t has |t - 1| <= |t^2 - 1|). A projection computed in float64 is
   off by at most eta |v|, eta = sqrt(p) g_dim(2^-53) + e; e is measured, its own rounding of at
   most p g_dim(2^-53) added.
2. The computed |v|^2 - |y|^2 is below R^2 by at most (2 eta + eta^2 + g_dim + g_p (1 + eta)^2 + 4u)
   |v|^2, the root's own rounding included, which is below 8 eta |v|^2. That is added before the
   root: no r is below its R, and as they are >= 0, no product r r below R R.
3. Products of y are off by at most (2 eta + eta^2) |q| |x|, and |x|^2 / 2 by g_dim |x|^2 / 2:
   together by less than 3 eta |a(q)| |a(x)|, as |a(v)| >= |v|, |a(q)| >= 1 and |a(x)| >= |x|^2 / 2.
4. Rounding a(q) and a(x) to float32, shortening a prefix and the float32 product of p + 2 terms
   multiply every term by 1 + g_{p+8}(2^-24) at most; the terms' sizes add up to |a(q)| |a(x)| at
   most (Cauchy-Schwarz again).

So the computed s is at most `slack` = (g_{p+8}(2^-24) + 3 eta) |a(q)| max |a(x)| below the s that
the bound needs.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

CHUNK = 4096  # vectors that are in float64 at a time
TINY = 1e-30  # more than underflow can take away


@dataclass(frozen=True)
class Prefix:
    """The vectors' a(x), and what it takes to make a(q) for a query."""

    basis: np.ndarray  # float64 (dim, p), orthonormal columns
    eta: float  # how far a projection may be off; see above
    # float32 (p + 2, n): y, r and -|x|^2 / 2; a product with one query reads columns fastest
    rows: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, basis: np.ndarray) -> Self:
        """Project float32 (n, dim) vectors on float64 (dim, p) axes."""
        eta = projection_error(basis)
        rows = np.empty((basis.shape[1] + 2, len(vectors)), dtype=np.float32)
        for start in range(0, len(vectors), CHUNK):
            split = _split(vectors[start : start + CHUNK], basis, eta)
            rows[:, start : start + CHUNK] = np.vstack([split.y.T, split.r, -split.squares / 2])
        return cls(basis, eta, rows)

    @property
    def components(self) -> int:
        """How many axes there are."""
        return self.basis.shape[1]

    def appended(self, vectors: np.ndarray) -> "Prefix":
        """Return the prefix with float32 (m, dim) vectors behind, on the same axes."""
        more = Prefix.of(vectors, self.basis).rows
        return Prefix(self.basis, self.eta, np.hstack([self.rows, more]))

    def without(self, positions: np.ndarray) -> "Prefix":
        """Return the prefix without the vectors at int (m,) positions."""
        return Prefix(self.basis, self.eta, np.delete(self.rows, positions, axis=1))

    def shortened(self, components: int) -> "Prefix":
        """Return the prefix on the first axes alone: what the others held goes into r."""
        dropped = np.square(self.rows[components:-1], dtype=np.float64).sum(axis=0)
        r = np.sqrt(dropped).astype(np.float32)
        rows = np.vstack([self.rows[:components], r, self.rows[-1]])
        return Prefix(np.ascontiguousarray(self.basis[:, :components]), self.eta, rows)

    def project(self, queries: np.ndarray) -> np.ndarray:
        """Return a(q) of float32 (q, dim) queries, float32 (q, p + 2)."""
        split = _split(queries, self.basis, self.eta)
        return np.column_stack([split.y, split.r, np.ones(len(queries))]).astype(np.float32)

    @cached_property
    def longest(self) -> float:
        """Max |a(x)|, or a little more."""
        return 1.001 * float(np.sqrt(np.einsum("pn,pn->n", self.rows, self.rows).max(initial=0.0)))

    def slack(self, projected: np.ndarray) -> np.ndarray:
        """Return float64 (q,): by how much a float32 product of a(q) and `rows` may be too low."""
        share = gamma(len(self.rows) + 6, 2.0**-24) + 3 * self.eta
        lengths = np.linalg.norm(projected.astype(np.float64), axis=1)
        return 1.001 * share * self.longest * lengths + TINY


def needed_for(distance_l2sq: float, square: float, dim: int, slack: float) -> np.float32:
    """Return the computed s below which no vector is as near as a given distance, rounded down.

    A float32 sum of squared differences is off by g_{dim+2}(2^-24) of itself at most, whatever its
    order; so a vector whose true or computed distance is within the given, computed one has |q -
    x|^2 <= distance / (1 - g).

    Args:
        distance_l2sq: the limit, as computed in float32.
        square: |q|^2, in float64.
        dim: of the vectors.
        slack: by how much a computed s may be too low.
    """
    limit = distance_l2sq / (1 - gamma(dim + 4, 2.0**-24)) + TINY
    rounding = (dim + 8) * 2.0**-52 * (square + limit)  # of |q|^2 and of this line, in float64
    return np.nextafter(np.float32((square - limit) / 2 - slack - rounding), np.float32(-np.inf))


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


def projection_error(basis: np.ndarray) -> float:
    """Return eta of a basis (dim, p): how far a projection may be off, as a share of the length."""
    dim, p = basis.shape
    rounding = gamma(dim, 2.0**-53)
    departure = np.linalg.norm(basis.T @ basis - np.eye(p)) + p * rounding
    return float(1.01 * (np.sqrt(p) * rounding + departure))


def gamma(n: int, u: float) -> float:
    """Return g_n(u): by which share n roundings can change a result."""
    return n * u / (1 - n * u)


@dataclass(frozen=True)
class _Split:
    """Vectors split into projection and rest, in float64."""

    y: np.ndarray  # (m, p)
    r: np.ndarray  # (m,), or a little more
    squares: np.ndarray  # (m,), |v|^2


def _split(vectors: np.ndarray, basis: np.ndarray, eta: float) -> _Split:
    exact = vectors.astype(np.float64)
    y = exact @ basis
    squares = np.einsum("md,md->m", exact, exact)
    rest = np.maximum(squares - np.einsum("mp,mp->m", y, y), 0)
    return _Split(y, np.sqrt(rest + 8 * eta * squares), squares)
