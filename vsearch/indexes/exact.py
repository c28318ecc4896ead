import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Self
from zipfile import BadZipFile

import faiss
import numpy as np
import threadpoolctl

from vsearch.indexes.base import Index
from vsearch.indexes.exhaustive import Hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.prefix_bound import Prefix, needed_for, principal_axes, projection_error

FILE = "prefix.npz"
COMPONENTS = (32, 64, 96, 128, 192, 256)  # tried at build time
BATCHES = (8, 32, 128)  # tried at build time, against plain Flat
SAMPLE = 8192  # vectors that the principal axes are computed from
TRIALS = 32  # searches that choose
TRIAL_K = 11  # the first hit of an indexed vector is itself, so 11 for the tenth
FEW = 2_000  # vectors below which nothing is gained
FIRST = 64  # vectors, beside the k of the highest possible similarity, that are compared first
CHUNK_BYTES = 4 << 20  # of highest similarities held at once: what stays in a cache
NEVER = float("inf")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Nearest:
    """The nearest vectors of one query, best first; `compared`: how many were compared in full."""

    scores: np.ndarray  # cosines, float32 (k,)
    positions: np.ndarray  # int64 (k,)
    compared: int


class ExactIndex(Index):
    """The same hits as FAISS's IndexFlatL2, up to ties within rounding, for a fraction of the work.

    From a vector's first principal components and the length of the rest follows the highest
    similarity to a query that it can have, rounding included (`prefix_bound`). A search compares
    the few vectors that can be the most similar. The k-th smallest of their distances is the limit:
    every other vector that can be as near is compared too. Where that doesn't pay, the index is
    plain Flat.

    Args:
        components: how many; 0: plain Flat; None: what is fastest for a sample of the vectors,
            tried at build time. From which batch size on plain Flat is faster is always tried.
        threads: of FAISS and of NumPy's BLAS; None: as many as they would take.
    """

    exact = True
    _prefix: Prefix | None

    def __init__(self, components: int | None = None, threads: int | None = None) -> None:
        if components is not None and components < 0:
            raise ValueError(
                f"components: {components} is no number; 0: plain Flat; null: try some."
            )
        self.components = components
        self.threads = threads
        self._flat = FaissIndex("Flat", threads=threads)
        self._forget_prefix()

    @property
    def spec(self) -> str:  # type: ignore[override]
        """What the index is."""
        chosen = self._chosen_components
        return f"Flat, exact by a prefix of {chosen} components" if chosen else "Flat"

    def build(self, embeddings: np.ndarray) -> None:
        """See `Index`."""
        self._flat.build(embeddings)
        self._build_prefix()

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors, projected on the axes that there are."""
        self._flat.add(embeddings)
        if self._prefix is not None:
            with self._blas_threads():
                self._prefix = self._prefix.appended(np.asarray(embeddings, dtype=np.float32))

    def remove(self, positions: np.ndarray) -> None:
        """See `Index`."""
        self._flat.remove(positions)
        if self._prefix is not None:
            self._prefix = self._prefix.without(positions)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`; of equal distances the first position wins."""
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        plain = self._prefix is None or k < 1 or len(asked) >= self._flat_from
        if plain or not np.isfinite(asked).all():
            return self._flat.search(asked, k, allowed)

        among = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
        scores = np.empty((len(asked), k), np.float32)
        positions = np.empty((len(asked), k), np.int64)
        with self._blas_threads():
            for row, nearest in enumerate(self._search_each(asked, k, among)):
                scores[row] = nearest.scores
                positions[row] = nearest.positions
        return scores, positions

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors as they were given."""
        return self._flat.vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss, a flat index of plain FAISS, and prefix.npz, which follows from it."""
        names = self._flat.save(folder)
        settings = {
            "wanted": self.components,
            "components": self._chosen_components,
            "flat_from": self._flat_from,
            "compared": self._compared_share,
        }
        arrays = {"settings": np.array(json.dumps(settings))}
        if self._prefix is not None:
            arrays |= {"basis": self._prefix.basis, "rows": self._prefix.rows}
        with (folder / FILE).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote; without its prefix file, the prefix is made anew."""
        opened = cls()
        opened._flat = FaissIndex.open(folder, mmap=True)  # a search reads few of the vectors
        opened.threads = opened._flat.threads
        if not isinstance(faiss.downcast_index(opened._flat.built), faiss.IndexFlat):
            raise ValueError(f"not an exact index: {opened._flat.spec}")
        if not (folder / FILE).is_file():
            opened._build_prefix()
            return opened
        try:
            opened._read_prefix(folder / FILE)
        except (KeyError, TypeError, ValueError, BadZipFile, EOFError) as error:
            raise ValueError(f"{FILE} is not the prefix of index.faiss: {error}") from error
        return opened

    def __len__(self) -> int:
        return len(self._flat)

    def describe(self) -> dict[str, Any]:
        """Return what was chosen, and the share of the vectors that a search compares in full."""
        return {
            **super().describe(),
            "components": self._chosen_components,
            "plain_flat_from_batch": None if self._flat_from == NEVER else self._flat_from,
            "compared_share": self._compared_share,
        }

    def _search_each(
        self, queries: np.ndarray, k: int, among: np.ndarray | None
    ) -> Iterator[Nearest]:
        """Yield each query's k nearest vectors, of those at int64 (m,) positions, or of all."""
        assert self._prefix is not None
        size = max(1, CHUNK_BYTES // (4 * len(self)))
        for start in range(0, len(queries), size):
            chunk = queries[start : start + size]
            projected = self._prefix.project(chunk)
            highest = projected @ self._prefix.rows
            slacks = self._prefix.slack(projected)
            for query, its_highest, slack in zip(chunk, highest, slacks, strict=True):
                yield self._nearest(query, its_highest, slack, k, among)

    def _nearest(
        self,
        query: np.ndarray,
        highest: np.ndarray,
        slack: float,
        k: int,
        among: np.ndarray | None,
    ) -> Nearest:
        """Compare a query (dim,) with as few vectors as the `highest` (n,) similarities allow.

        `slack`: by how much rounding may have lowered these.
        """
        if among is not None:
            highest = highest[among]

        # The vectors that can be the most similar come first
        place = len(highest) - k - FIRST
        bar = np.partition(highest, place)[place] if place > 0 else -np.inf
        first = np.flatnonzero(highest >= bar)
        first_distances = self._distances(query, first if among is None else among[first])

        # The others count if they can be as near as the k-th of those first ones
        limit = float(np.partition(first_distances, k - 1)[k - 1])
        wide = query.astype(np.float64)
        needed = needed_for(limit, float(wide @ wide), len(wide), slack)
        others = np.flatnonzero((highest >= needed) & (highest < bar))
        other_distances = self._distances(query, others if among is None else among[others])

        positions = np.concatenate([first, others])
        if among is not None:
            positions = among[positions]
        distances_l2sq = np.concatenate([first_distances, other_distances])
        best = np.lexsort((positions, distances_l2sq))[:k]
        scores = np.clip(1 - distances_l2sq[best] / 2, -1, 1)
        return Nearest(scores, positions[best], compared=len(positions))

    def _distances(self, query: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return squared L2 distances to (m,) positions, rounded as IndexFlatL2 does."""
        distances_l2sq = np.empty(len(positions), dtype=np.float32)
        if len(positions):  # FAISS refuses none
            faiss.downcast_index(self._flat.built).compute_distance_subset(
                1,
                faiss.swig_ptr(query),
                len(positions),
                faiss.swig_ptr(distances_l2sq),
                faiss.swig_ptr(positions),
            )
        return distances_l2sq

    @property
    def _chosen_components(self) -> int:
        return 0 if self._prefix is None else self._prefix.components

    def _forget_prefix(self) -> None:
        self._prefix = None
        self._flat_from = NEVER  # the batch size from which plain Flat is faster
        self._compared_share = 1.0

    def _build_prefix(self) -> None:
        """Choose how many components, and project the flat index's vectors on them."""
        self._forget_prefix()
        vectors = self._flat_vectors()
        n, dim = vectors.shape
        if self.components is not None:
            tried = [min(self.components, dim)] if self.components else []
        else:
            tried = [p for p in COMPONENTS if 2 * p <= dim] if n >= FEW else []
        if not tried:
            logger.info("ExactIndex: plain Flat, of %d vectors of %d dimensions.", n, dim)
            return

        drawn = np.random.default_rng(0).permutation(n)
        queries = vectors[drawn[-TRIALS:]]  # of a large gallery, the axes don't know them
        with self._blas_threads():
            axes = principal_axes(vectors[np.sort(drawn[:SAMPLE])], max(tried))
            self._prefix = Prefix.of(vectors, axes)
            if self.components is None:
                self._keep_fastest(tried, queries)
            if self._prefix is not None:
                self._flat_from = self._find_crossing(queries) if n >= FEW else NEVER
                each = self._search_each(queries, min(TRIAL_K, n), among=None)
                self._compared_share = float(median(one.compared for one in each)) / n

    def _keep_fastest(self, tried: list[int], queries: np.ndarray) -> None:
        """Shorten the prefix to what is fastest for single queries, or drop it if Flat is."""
        assert self._prefix is not None
        whole = self._prefix
        self._prefix = None
        best = None
        times_ms = {0: self._single_ms(queries)}
        for p in tried:
            self._prefix = whole.shortened(p)
            times_ms[p] = self._single_ms(queries)
            if times_ms[p] == min(times_ms.values()) < times_ms[0]:
                best = self._prefix
        self._prefix = best

        shown = ", ".join(f"{p}: {ms:.2f}" for p, ms in times_ms.items())
        if best is None:
            logger.warning("ExactIndex: no prefix prunes enough to pay (ms a search: %s).", shown)
        else:
            logger.info("ExactIndex: %d components (ms a search: %s).", best.components, shown)

    def _find_crossing(self, queries: np.ndarray) -> float:
        """Return the batch size from which plain Flat is faster."""
        for size in BATCHES:
            batch = np.resize(queries, (size, queries.shape[1]))
            with_prefix_ms = _search_ms(self, batch)
            if _search_ms(self._flat, batch) < with_prefix_ms:
                return size
        return NEVER

    def _single_ms(self, queries: np.ndarray) -> float:
        self.search(queries[:1], TRIAL_K)
        return median(_search_ms(self, query[None]) for query in queries)

    def _read_prefix(self, path: Path) -> None:
        """Take the prefix from its file, if some of its rows fit the flat index's vectors."""
        with np.load(path) as stored:
            settings = json.loads(str(stored["settings"]))
            self.components = settings.get("wanted")
            self._flat_from = settings["flat_from"]
            self._compared_share = settings["compared"]
            if not settings["components"]:
                return
            basis = stored["basis"]
            prefix = Prefix(basis, projection_error(basis), stored["rows"])

        vectors = self._flat_vectors()
        n, dim = vectors.shape
        if prefix.rows.shape[1] != n or len(basis) != dim:
            held = f"{prefix.rows.shape[1]} vectors of {len(basis)} dimensions"
            raise ValueError(f"it holds {held}, not {n} of {dim}")

        probe = np.linspace(0, n - 1, 16, dtype=int)
        wanted = Prefix.of(vectors[probe], basis).rows
        if not np.allclose(wanted, prefix.rows[:, probe], atol=1e-6):
            raise ValueError("it holds other vectors")
        self._prefix = prefix

    def _flat_vectors(self) -> np.ndarray:
        """Return the flat index's own vectors, not a copy."""
        index = faiss.downcast_index(self._flat.built)
        numbers = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
        return numbers.reshape(index.ntotal, index.d)

    @contextmanager
    def _blas_threads(self) -> Iterator[None]:
        if self.threads is None:
            yield
            return
        with _blas().limit(limits=self.threads):
            yield


@cache
def _blas() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def _search_ms(index: Index, queries: np.ndarray) -> float:
    start = time.perf_counter()
    index.search(queries, TRIAL_K)
    return 1000 * (time.perf_counter() - start)
