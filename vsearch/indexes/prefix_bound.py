"""A lower bound on L2 distances, from a few principal components in 8 bits.

Let Q (dim, p) have orthonormal columns and y(v) = Q'v. A projection shortens, so |y(q) - y(x)| <=
|q - x|. A code c(v) of p integers stands for low + step c(v), a point within t(v) of y(v). By the
triangle inequality,

    step |c(q) - c(x)| <= |q - x| + t(q) + t(x).

Codes of vectors are whole numbers from 0 to 255. Those of queries are finer, 128 + w / 64, with
w = 128 a + b and a and b from -64 to 63. Products of integers have no rounding, so that

    |c(q) - c(x)|^2 = |c(q)|^2 - (w.c(x) - own(x)) / 32,   own(x) = 32 (|c(x)|^2 - 256 sum(c(x))).

w.c(x) - own(x) is what the code calls a vector's nearness; up to 800 components it fits 32 bits.

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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from vsearch.indexes.integer_products import products

CHUNK = 4096  # vectors in float64 at a time
BLOCK = 262_144  # products at a time: they stay in a cache
MORE = 2.0**-40  # than a few thousand operations in float64 are off
TINY = 1e-30  # more than underflow can take away


@dataclass(frozen=True)
class Codes:
    """Codes of vectors or queries."""

    numbers: np.ndarray  # float64 (m, p)
    errors: np.ndarray  # t, float64 (m,)

    def __getitem__(self, row: int) -> "Codes":
        return Codes(self.numbers[row, None], self.errors[row, None])


@dataclass(frozen=True)
class Prefix:
    """The vectors' codes, and the grid and axes that code queries."""

    basis: np.ndarray  # float32 (dim, p), orthonormal columns
    low: np.ndarray  # float64 (p,)
    codes: np.ndarray  # uint8 (n, p)
    step: float
    error: float  # max t(x)

    @classmethod
    def of(cls, vectors: np.ndarray, basis: np.ndarray) -> Self:
        """Code float32 (n, dim) vectors on float32 (dim, p) axes, with a grid that covers all."""
        low = np.full(basis.shape[1], np.inf)
        high = -low
        for _, y in _projected(vectors, basis):
            low = np.minimum(low, y.min(axis=0))
            high = np.maximum(high, y.max(axis=0))
        step = max(TINY, float((high - low).max()) / 255)
        empty = np.empty((0, len(low)), dtype=np.uint8)
        return cls(basis, low, empty, step, 0.0).appended(vectors)

    @property
    def components(self) -> int:
        """The number of axes."""
        return self.basis.shape[1]

    @cached_property
    def own(self) -> np.ndarray:
        """own(x): int32 (n,)."""
        own = np.empty(len(self.codes), dtype=np.int32)
        for start in range(0, len(own), CHUNK):
            codes = self.codes[start : start + CHUNK].astype(np.int32)
            own[start : start + CHUNK] = (codes * (codes - 256)).sum(axis=1) << 5
        return own

    @cached_property
    def reach(self) -> float:
        """The length of a vector of the grid's largest numbers."""
        return float(np.linalg.norm(self.low) + 256 * self.step * self.components**0.5)

    @cached_property
    def departure(self) -> float:
        """How far the basis may be from orthonormal axes, as |B - Q|."""
        return departure(self.basis)

    def appended(self, vectors: np.ndarray) -> Self:
        """Return the prefix with float32 (m, dim) vectors appended, on the same axes and grid."""
        codes = np.empty((len(vectors), self.components), dtype=np.uint8)
        error = self.error
        for here, y in _projected(vectors, self.basis):
            steps = (y - self.low) / self.step
            made = self._coded(vectors[here], steps, np.clip(np.rint(steps), 0, 255), 2.0**-53)
            codes[here] = made.numbers
            error = max(error, float(made.errors.max()))
        return replace(self, codes=np.concatenate([self.codes, codes]), error=error)

    def without(self, positions: np.ndarray) -> Self:
        """Return the prefix without the vectors at int (m,) positions."""
        return replace(self, codes=np.delete(self.codes, positions, axis=0))

    def asked(self, queries: np.ndarray, finely: bool = True) -> Codes:
        """Return the codes of float32 (q, dim) queries; with b = 0 if not `finely`."""
        y = (queries @ self.basis).astype(np.float64)
        steps = (y - self.low) / self.step
        per_step = 64 if finely else 0.5
        w = np.rint((steps - 128) * per_step)
        numbers = 128 + np.clip(w / per_step, -128, 126)
        return self._coded(queries, steps, numbers, 2.0**-24)

    def nearness(
        self, queries: Codes, at: np.ndarray | None = None, threads: int | None = None
    ) -> np.ndarray:
        """Return the nearness, int32 (q, m), of all vectors or those at int (m,) positions."""
        w = (64 * (queries.numbers - 128)).astype(np.int32).T
        a = (w + 64) >> 7
        b = w - (a << 7)
        parts = (np.concatenate([a, b], axis=1) if b.any() else a).astype(np.int8)
        codes = self.codes if at is None else self.codes.take(at, axis=0)
        own = self.own if at is None else self.own[at]
        q = len(queries.numbers)
        found = np.empty((q, len(codes)), dtype=np.int32)
        size = BLOCK // q
        for start in range(0, len(codes), size):
            here = slice(start, start + size)
            out = found[:, here]
            of_parts = products(codes[here], parts, threads)
            np.left_shift(of_parts[:, :q].T, 7, out=out)
            if of_parts.shape[1] > q:
                out += of_parts[:, q:].T
            out -= own[here]
        return found

    def needed(self, queries: Codes, distances: np.ndarray) -> np.ndarray:
        """Return the least nearness, int32 (q,), of vectors within L2 distances (q,) of queries."""
        apart = (distances + queries.errors + self.error) / self.step
        squares = np.square(queries.numbers).sum(axis=1)  # exact
        least = 32 * (squares - (1 + MORE) * apart**2) - 1
        return np.maximum(least, np.iinfo(np.int32).min).astype(np.int32)

    def _coded(
        self, vectors: np.ndarray, steps: np.ndarray, numbers: np.ndarray, u: float
    ) -> Codes:
        """Return codes (m, p) of vectors (m, dim).

        Args:
            vectors: float32.
            steps: their projections (m, p) of unit roundoff u, in steps from low.
            numbers: what stands for these.
            u: float32's or float64's.
        """
        errors = self.step * np.linalg.norm(steps - numbers, axis=1)
        dim, p = self.basis.shape
        eta = p**0.5 * (1 + self.departure) * gamma(dim, u) + self.departure
        lengths = 1.01 * np.linalg.norm(vectors, axis=1)
        return Codes(numbers, errors + eta * lengths + MORE * (lengths + self.reach))


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


def departure(basis: np.ndarray) -> float:
    """Return |B'B - I| of a basis (dim, p), or a little more."""
    dim, p = basis.shape
    wide = basis.astype(np.float64)
    return float(1.01 * (np.linalg.norm(wide.T @ wide - np.eye(p)) + p * gamma(dim, 2.0**-53)))


def gamma(n: int, u: float) -> float:
    """Return g_n(u): the share by which n roundings can change a result."""
    return n * u / (1 - n * u)


def _projected(vectors: np.ndarray, basis: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield chunks of float32 (n, dim) vectors: their slice, and float64 (m, p) projections."""
    wide = basis.astype(np.float64)
    for start in range(0, len(vectors), CHUNK):
        here = slice(start, start + CHUNK)
        yield here, vectors[here].astype(np.float64) @ wide
