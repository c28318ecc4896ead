import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache, partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import faiss
import numpy as np
import threadpoolctl

from vsearch.indexes.base import Index
from vsearch.indexes.exhaustive import Hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_filtered import among
from vsearch.indexes.prefix_bound import Prefix, farthest, principal_axes, turned
from vsearch.indexes.timing import in_turn

FILE = "prefix.npz"
ARRAYS = ("basis", "low", "codes")  # of a level in the file
COMPONENTS = (32, 64, 96, 128, 192, 256, 384, 512)  # tried at build time
SCATTERED = 4  # how much longer scattered reads take
BATCHES = (1, 8, 32, 128)  # tried at build time, against plain Flat
ROUNDS = 5
SAMPLE = 8192  # vectors to compute the principal axes from
TRIALS = 32  # searches that decide
TRIAL_K = 11  # the first hit of an indexed vector is itself, so 11 for the tenth
FEW = 2_000  # vectors; with fewer, a prefix saves nothing
FIRST = 8  # vectors, besides k, that seem nearest; comparing them limits the others
TOGETHER = 32  # queries per pass over the codes
SEVERAL = 8  # queries from which one pass over the finest codes is quicker than levels
NEVER = float("inf")
logger = logging.getLogger(__name__)


class ExactIndex(Index):
    """The same hits as FAISS's IndexFlatL2, up to ties within rounding, for a fraction of the work.

    First principal components in 8 bits give a lower bound on a vector's distance from a query,
    rounding included (`prefix_bound`). The vectors that seem nearest are compared in full; the k-th
    smallest of their distances is a limit, and every vector that can be as near is compared too.
    Single queries use levels: few components of all vectors, then more of the remaining ones. If
    that doesn't pay, the index is plain Flat.

    The numbers of components are those that should read the fewest bytes for a sample of the
    vectors. A trial finds the batch size from which plain Flat is faster.

    Args:
        threads: of FAISS, ONNX Runtime and NumPy's BLAS; None: their defaults.
    """

    exact = True
    _levels: list[Prefix]  # coarsest first

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self._flat = FaissIndex("Flat", threads=threads)
        self._forget_levels()

    @property
    def spec(self) -> str:  # type: ignore[override]
        """The index in words."""
        chosen = self._chosen_components
        return f"Flat, exact by a prefix of {chosen} components" if chosen else "Flat"

    def build(self, embeddings: np.ndarray) -> None:
        """See `Index`."""
        self._flat.build(embeddings)
        self._build_levels()

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors, projected on the existing axes."""
        self._flat.add(embeddings)
        vectors = np.asarray(embeddings, dtype=np.float32)
        with self._blas_threads():
            self._levels = [level.appended(vectors) for level in self._levels]

    def remove(self, positions: np.ndarray) -> None:
        """See `Index`."""
        self._flat.remove(positions)
        self._levels = [level.without(positions) for level in self._levels]

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`; of equal distances the first position wins."""
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        plain = not self._levels or k < 1 or len(asked) >= self._flat_from
        if plain or not np.isfinite(asked).all():
            return self._flat.search(asked, k, allowed)

        may_be_found = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
        distances_l2sq = np.empty((len(asked), k), np.float32)
        positions = np.empty((len(asked), k), np.int64)
        with self._blas_threads():
            for row, left in enumerate(self._left_of_each(asked, k, may_be_found)):
                found = among(self._whole, asked[row, None], k, left)  # rounds like IndexFlatL2
                distances_l2sq[row] = found[0][0]
                positions[row] = found[1][0]
        return np.clip(1 - distances_l2sq / 2, -1, 1), positions

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors as they were given."""
        return self._flat.vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss, a flat index of plain FAISS, and prefix.npz, computed from it."""
        names = self._flat.save(folder)
        arrays: dict[str, Any] = {}
        for number, level in enumerate(self._levels):
            arrays |= {f"{name}_{number}": getattr(level, name) for name in ARRAYS}
        settings = {
            "flat_from": self._flat_from,
            "levels": [{"step": level.step, "error": level.error} for level in self._levels],
        }
        with (folder / FILE).open("wb") as file:
            np.savez(file, settings=np.array(json.dumps(settings)), **arrays)
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote; without a prefix file, the prefix is computed again."""
        opened = cls()
        opened._flat = FaissIndex.open(folder, mmap=True)  # a search reads few of the vectors
        opened.threads = opened._flat.threads
        if not isinstance(opened._whole, faiss.IndexFlat):
            raise ValueError(f"not an exact index: {opened._flat.spec}")
        if not (folder / FILE).is_file():
            opened._build_levels()
            return opened
        try:
            opened._read_levels(folder / FILE)
        except (KeyError, TypeError, ValueError, BadZipFile, EOFError) as error:
            raise ValueError(f"{FILE} isn't the prefix of index.faiss: {error}") from error
        return opened

    def __len__(self) -> int:
        return len(self._flat)

    def describe(self) -> dict[str, Any]:
        """Return the choice."""
        return {
            **super().describe(),
            "components": self._chosen_components,
            "plain_flat_from_batch": None if self._flat_from == NEVER else self._flat_from,
        }

    def _left_of_each(
        self, queries: np.ndarray, k: int, positions: np.ndarray | None
    ) -> Iterator[np.ndarray]:
        """Yield for each query the rising positions (m,) of the vectors that no level rules out.

        Args:
            queries: float32 (q, dim).
            k: hits; at most as many as there are positions.
            positions: rising int64 (m,), of the vectors that may be found; None: all.
        """
        levels = self._levels if len(queries) < SEVERAL else self._levels[-1:]
        for start in range(0, len(queries), TOGETHER):
            part = queries[start : start + TOGETHER]
            limits = np.full(len(part), np.inf)
            left: list[np.ndarray | None] = [positions] * len(part)
            for level in levels:
                coarsest = level is levels[0]
                codes = level.asked(part, finely=not coarsest)
                if coarsest:
                    seen = [*level.nearness(codes, positions, self.threads)]
                else:
                    each = enumerate(left)
                    seen = [level.nearness(codes[row], at, self.threads)[0] for row, at in each]
                limits = np.minimum(limits, self._kth_of_first(part, k, seen, left))
                of_each = zip(level.needed(codes, limits), seen, left, strict=True)
                left = [_at(np.flatnonzero(near >= least), at) for least, near, at in of_each]
            for at in left:
                assert at is not None
                yield at

    def _kth_of_first(
        self,
        queries: np.ndarray,
        k: int,
        seen: Sequence[np.ndarray],
        left: Sequence[np.ndarray | None],
    ) -> np.ndarray:
        """Return L2 distances (q,) that the k nearest are within.

        The k-th best of the vectors that seem nearest is no nearer than the k-th best of all.
        """
        several = min(k + FIRST, *map(len, seen))
        each = zip(seen, left, strict=True)
        first = np.array([_at(_largest(near, several), at) for near, at in each])
        distances_l2sq = np.empty(first.shape, dtype=np.float32)
        asked, found, at = map(faiss.swig_ptr, (queries, distances_l2sq, first))
        self._whole.compute_distance_subset(len(queries), asked, several, found, at)
        kth_l2sq = np.partition(distances_l2sq, k - 1, axis=1)[:, k - 1]
        return farthest(kth_l2sq.astype(np.float64), queries.shape[1])

    @property
    def _whole(self) -> faiss.IndexFlat:
        return faiss.downcast_index(self._flat.built)

    @property
    def _chosen_components(self) -> int:
        return self._levels[-1].components if self._levels else 0

    def _forget_levels(self) -> None:
        self._levels = []
        self._flat_from = NEVER  # the batch size from which plain Flat is faster

    def _build_levels(self) -> None:
        """Choose the number of components, and code the flat index's vectors."""
        self._forget_levels()
        vectors = self._flat_vectors()
        n, dim = vectors.shape
        tried = [p for p in COMPONENTS if 2 * p <= dim]
        if n < FEW or not tried:
            logger.info("ExactIndex: plain Flat, %d vectors of %d dimensions.", n, dim)
            return

        drawn = np.random.default_rng(0).permutation(n)
        # In a large gallery, the axes weren't computed from these
        queries = vectors[drawn[-TRIALS:]]
        with self._blas_threads():
            bases = self._cheapest(tried, vectors[np.sort(drawn[:SAMPLE])], queries)
            self._levels = [Prefix.of(vectors, basis) for basis in bases]
            self._flat_from = self._find_crossing(queries)
        if self._flat_from == 1:
            logger.warning("ExactIndex: no prefix prunes enough to help: plain Flat.")
            self._forget_levels()
        logger.info("ExactIndex: %s.", self.spec)

    def _cheapest(
        self, tried: list[int], sample: np.ndarray, queries: np.ndarray
    ) -> list[np.ndarray]:
        """Return the axes of the levels with which a single search should read the fewest bytes.

        A sample (m, dim), and the distances of the tenth hits that queries (q, dim) have among all
        vectors, show how many vectors a level leaves.
        """
        n = len(self)
        dim = sample.shape[1]
        axes = principal_axes(sample, tried[-1])
        scores, _ = self._flat.search(queries, TRIAL_K)
        distances = np.sqrt(np.maximum(0, 2 - 2 * scores[:, -1]))
        bases = {p: turned(axes[:, :p]) for p in tried}
        left = {}
        for p, basis in bases.items():
            level = Prefix.of(sample, basis)
            codes = level.asked(queries)
            seen = level.nearness(codes, threads=self.threads)
            left[p] = n * float((seen >= level.needed(codes, distances)[:, None]).mean())

        def bytes_read(levels: tuple[int, ...]) -> float:
            projecting = 4 * dim * sum(levels)
            further_codes = sum(left[coarse] * fine for coarse, fine in pairwise(levels))
            vectors = left[levels[-1]] * 4 * dim
            return n * levels[0] + projecting + SCATTERED * (further_codes + vectors)

        choices = [*combinations(tried, 1), *combinations(tried, 2)]
        return [bases[p] for p in min(choices, key=bytes_read)]

    def _find_crossing(self, queries: np.ndarray) -> float:
        """Return the batch size from which plain Flat is faster."""
        for size in BATCHES:
            batches = np.resize(queries, (ROUNDS, size, queries.shape[1]))
            with_prefix = [partial(self.search, batch, TRIAL_K) for batch in batches]
            plain = [partial(self._flat.search, batch, TRIAL_K) for batch in batches]
            with_prefix_s, plain_s = in_turn([with_prefix, plain], range(1))
            if plain_s < with_prefix_s:
                return size
        return NEVER

    def _read_levels(self, path: Path) -> None:
        """Read the prefix from its file, if some of its codes fit the flat index's vectors."""
        with np.load(path) as stored:
            settings = json.loads(str(stored["settings"]))
            self._flat_from = settings["flat_from"]
            levels = []
            for number, level in enumerate(settings["levels"]):
                arrays = [stored[f"{name}_{number}"] for name in ARRAYS]
                levels.append(Prefix(*arrays, **level))

        vectors = self._flat_vectors()
        n, dim = vectors.shape
        probe = np.linspace(0, n - 1, min(n, 16), dtype=int)
        for level in levels:
            if len(level.codes) != n or len(level.basis) != dim:
                held = f"{len(level.codes)} vectors of {len(level.basis)} dimensions"
                raise ValueError(f"it holds {held}, not {n} of {dim}")
            some = replace(level, codes=level.codes[probe])
            again = some.without(np.arange(len(probe))).appended(vectors[probe])
            off = again.codes.astype(int) - some.codes
            if np.abs(off).max(initial=0) > 1:
                raise ValueError("it holds other vectors")
        self._levels = levels

    def _flat_vectors(self) -> np.ndarray:
        """Return the flat index's vectors without a copy."""
        index = self._whole
        numbers = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
        return numbers.reshape(index.ntotal, index.d)

    def _blas_threads(self) -> AbstractContextManager[Any]:
        if self.threads is None or all(
            library.num_threads == self.threads for library in _blas().lib_controllers
        ):
            return nullcontext()
        return _blas().limit(limits=self.threads)


@cache
def _blas() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def _at(chosen: np.ndarray, positions: np.ndarray | None) -> np.ndarray:
    return chosen if positions is None else positions[chosen]


def _largest(numbers: np.ndarray, k: int) -> np.ndarray:
    """Return the positions (k,) of the largest of numbers (n,), or all (n,)."""
    place = len(numbers) - k
    if place <= 0:
        return np.arange(len(numbers))
    return np.flatnonzero(numbers >= np.partition(numbers, place)[place])[:k]
