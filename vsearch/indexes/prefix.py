"""Codes of vectors in inverted lists, and which lists can hold none that is near a query's.

Codes c(v) and centroids m are p <= 256 whole numbers from 0 to 255. A list holds codes within its
radius r of m, and none is nearer to another centroid o. So, by the triangle inequality,

    |c(q) - c(x)| >= |c(q) - m| - r.

Let h(v) = |v - m|^2 - |v - o|^2, which is linear in v. It is at most 0 at c(x), and grows by at
most 2 |m - o| for each unit of distance. So

    |c(q) - c(x)| >= h(c(q)) / (2 |m - o|),

where o is the centroid nearest to c(q).

Squares of these distances are below 2^24, so that float32 adds them up without rounding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import faiss
import numpy as np

from vsearch.indexes.faiss_files import deserialized
from vsearch.indexes.faiss_kinds import PER_LIST, explained
from vsearch.indexes.faiss_removal import remove
from vsearch.indexes.prefix_bound import CHUNK, MORE, Grid, squared_lengths

ITERATIONS = 10  # of k-means
NEAREST = 4  # lists that are searched first
ROUNDED = 1 + 2.0**-22  # makes up for two roundings in float32


@dataclass(frozen=True)
class QueryCodes:
    """Queries' codes."""

    numbers: np.ndarray  # float32 (q, p)
    errors: np.ndarray  # t(q) + max t(x), float64 (q,)
    squares: np.ndarray  # of distances from the centroids, float32 (q, lists)
    nearest: np.ndarray  # lists, int64 (q, m), in any order


class Prefix:
    """First components of vectors, in 8 bits, in lists of FAISS.

    Args:
        grid: codes vectors and queries.
        index: FAISS's lists; the centroids of its quantizer are whole numbers.
        radii: of the lists, float64 (lists,).
        error: max t(x).
    """

    def __init__(
        self, grid: Grid, index: faiss.IndexIVFScalarQuantizer, radii: np.ndarray, error: float
    ) -> None:
        self.grid = grid
        self.index = index
        self.radii = radii
        self.error = error
        centroids = index.quantizer.reconstruct_batch(np.arange(index.nlist))
        centred = centroids - 128  # so that products stay below 2^24
        self._lengths = squared_lengths(centred)
        self._twice = np.ascontiguousarray(2 * centred.T)
        self._slopes = np.float32(2 * ROUNDED) * np.sqrt(self._squares(centroids))
        self._unused = np.zeros(index.nlist, np.float32)  # FAISS asks for distances of centroids

    @classmethod
    def of(cls, vectors: np.ndarray, basis: np.ndarray) -> Self:
        """Code float32 (n, dim) vectors on float32 (dim, p) axes, with a grid that covers all."""
        n = len(vectors)
        grid = Grid.over(vectors, basis)
        n_lists = ceil(n**0.5)
        drawn = np.sort(np.random.default_rng(0).permutation(n)[: PER_LIST * n_lists])
        parts = np.split(drawn, range(CHUNK, len(drawn), CHUNK))
        sample = np.concatenate([grid.coded(vectors[part]).numbers for part in parts])
        index = faiss.index_factory(grid.components, f"IVF{n_lists},SQ8_direct")
        index.by_residual = False  # codes themselves, not their differences from centroids
        index.cp.niter = ITERATIONS
        index.cp.int_centroids = True  # whole numbers
        index.cp.min_points_per_centroid = 1  # or FAISS would warn
        index.train(sample)
        made = cls(grid, index, np.zeros(n_lists), 0.0)
        made.add(vectors)
        return made

    def add(self, vectors: np.ndarray) -> None:
        """Append float32 (m, dim) vectors, on the same axes and grid."""
        for start in range(0, len(vectors), CHUNK):
            codes = self.grid.coded(vectors[start : start + CHUNK])
            squares = self._squares(codes.numbers)
            nearest = squares.argmin(axis=1)
            own = squares.min(axis=1).astype(np.float64) ** 0.5
            np.maximum.at(self.radii, nearest, own)
            numbers, lists = map(faiss.swig_ptr, (codes.numbers, nearest))
            self.index.add_core(len(nearest), numbers, None, lists)
            self.error = max(self.error, float(codes.errors.max()))

    def remove(self, positions: np.ndarray) -> None:
        """Remove the vectors at int (m,) positions; the others close up."""
        remove(self.index, positions)

    def query_codes(self, queries: np.ndarray, k: int, share: float = 1) -> QueryCodes:
        """Code float32 (q, dim) queries, of which each wants k of a share (0..1) of the vectors."""
        codes = self.grid.query_codes(queries)
        squares = self._squares(codes.numbers)
        with_twice_k = ceil(2 * k / share / len(self) * self.index.nlist)
        m = min(max(NEAREST, with_twice_k), self.index.nlist)
        nearest = np.ascontiguousarray(squares.argpartition(m - 1, axis=1)[:, :m])
        return QueryCodes(codes.numbers, codes.errors + self.error, squares, nearest)

    def first(
        self, codes: QueryCodes, k: int, selector: faiss.IDSelector | None = None
    ) -> np.ndarray:
        """Return positions int64 (q, k) of vectors that seem near; -1: the nearest lists have few.

        `selector`: lets vectors through; None: all.
        """
        q, m = codes.nearest.shape
        unused = np.zeros((q, m), np.float32)
        squares = np.empty((q, k), np.float32)
        found = np.empty((q, k), np.int64)
        arrays = (codes.numbers, codes.nearest, unused, squares, found)
        numbers, lists, *others = map(faiss.swig_ptr, arrays)
        parameters = _parameters(m, selector)
        self.index.search_preassigned_c(q, numbers, k, lists, *others, False, parameters)
        return found

    def near_lists(self, codes: QueryCodes, apart: np.ndarray) -> np.ndarray:
        """Return which lists may hold codes within distances (q,), bool (q, lists)."""
        apart = apart[:, None]
        near = codes.squares <= (1 + MORE) * np.square(self.radii + apart)
        nearest = codes.squares.argmin(axis=1)
        beyond = codes.squares - codes.squares.min(axis=1, keepdims=True)
        near &= beyond <= apart * self._slopes[nearest]
        return near

    def remaining(
        self, codes: QueryCodes, distances: np.ndarray, selector: faiss.IDSelector | None = None
    ) -> Iterator[np.ndarray]:
        """Yield for each query the rising positions of vectors that may be within L2 `distances`.

        `selector`: lets vectors through; None: all.
        """
        apart = self.grid.code_distance(distances, codes.errors)
        near = self.near_lists(codes, apart)
        for row, farthest in enumerate(apart):
            lists = near[row].nonzero()[0]
            if not len(lists):
                yield np.empty(0, np.int64)
                continue
            square = min(np.floor(farthest**2) + 1, 2.0**24)  # FAISS finds what is below it
            found = faiss.RangeSearchResult(1)
            parameters = _parameters(len(lists), selector)
            arrays = (codes.numbers[row], lists, self._unused)
            numbers, *others = map(faiss.swig_ptr, arrays)
            self.index.range_search_preassigned_c(
                1, numbers, square, *others, found, False, parameters
            )
            many = int(faiss.rev_swig_ptr(found.lims, 2)[1])
            yield np.sort(faiss.rev_swig_ptr(found.labels, many))

    def holds(self, vectors: np.ndarray, positions: np.ndarray) -> bool:
        """Return whether the codes at int (m,) positions are those of vectors (m, dim)."""
        wanted = self.grid.coded(vectors).numbers
        self.index.make_direct_map()
        held = self.index.reconstruct_batch(positions)
        self.index.set_direct_map_type(faiss.DirectMap.NoMap)
        return bool(np.abs(held - wanted).max(initial=0) <= 1)

    def packed(self) -> dict[str, Any]:
        """Return numbers and arrays for `unpacked`."""
        return {
            "basis": self.grid.basis,
            "low": self.grid.low,
            "step": self.grid.step,
            "error": self.error,
            "radii": self.radii,
            "lists": faiss.serialize_index(self.index),
        }

    @classmethod
    def unpacked(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return what `packed` gave.

        Raises:
            KeyError, ValueError: the arrays are others.
        """
        with explained("lists"):
            index = deserialized(arrays["lists"])
        if not isinstance(index, faiss.IndexIVFScalarQuantizer):
            raise ValueError("lists: they are of another kind")
        radii = arrays["radii"]
        error = float(arrays["error"])
        if len(radii) != index.nlist or not np.isfinite([*radii, error]).all():
            raise ValueError("lists: their radii are others")
        grid = Grid(arrays["basis"], arrays["low"], float(arrays["step"]))
        return cls(grid, index, radii, error)

    def __len__(self) -> int:
        return self.index.ntotal

    def _squares(self, numbers: np.ndarray) -> np.ndarray:
        """Return squared distances of codes float32 (m, p) from the centroids, (m, lists)."""
        centred = numbers - 128
        return squared_lengths(centred)[:, None] + self._lengths - centred @ self._twice


def _parameters(lists: int, selector: faiss.IDSelector | None) -> faiss.SearchParametersIVF:
    parameters = faiss.SearchParametersIVF()  # with arguments, it takes twice as long
    parameters.nprobe = lists
    if selector is not None:
        parameters.sel = selector
    return parameters
