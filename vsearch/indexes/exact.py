import json
import logging
import time
from pathlib import Path
from statistics import median
from typing import Any, Self

import faiss
import numpy as np

from vsearch.indexes.base import Index
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.prefix_bound import Basis, guard, lower_bounds, principal

FILE = "prefix.npz"
COMPONENTS = (32, 64, 128, 256)  # tried at build time
SAMPLE = 10_000  # vectors that the principal components are computed from
TRIALS, TRIAL_K = 32, 11  # searches that choose; the first hit of an indexed vector is itself, so 11 for the tenth
FEW = 2_000  # vectors below which nothing is gained
BATCHES = (8, 32, 128)
CHUNK_BYTES = 64 << 20  # of bounds held at once
logger = logging.getLogger(__name__)


class ExactIndex(Index):
    """Exact search that skips most of the work: the same hits as FAISS's IndexFlatL2, up to ties within rounding.

    Each vector has, beside itself, its first principal components and the length of the rest. From these alone follows
    a bound that its distance can't fall below (`prefix_bound.lower_bounds`). The few vectors of the lowest bounds are
    compared exactly; the k-th best of their distances is the limit, and every vector whose bound, less a guard for
    rounding, is within the limit is compared too. Where the bound doesn't prune enough to pay, it is plain Flat.

    Args:
        components: how many; 0: none, plain Flat; None: what is fastest for a sample of the vectors, tried at build
            time together with the batch size from which plain Flat is faster. Hits don't depend on it.
        threads: of FAISS, for the plain part; NumPy's follow OMP_NUM_THREADS or OPENBLAS_NUM_THREADS.
    """

    def __init__(self, components: int | None = None, threads: int | None = None) -> None:
        self.components, self.threads = components, threads
        self._flat = FaissIndex("Flat", threads=threads)
        self._basis: Basis | None = None
        self._projected = self._lengths_sq = np.empty(0, dtype=np.float32)
        self._longest, self._flat_from, self._compared = 0.0, float("inf"), 1.0

    @property
    def spec(self) -> str:  # type: ignore[override]
        """What the index is."""
        return f"Flat, exact by a prefix of {self._p} components" if self._p else "Flat"

    @property
    def _p(self) -> int:
        return self._basis.axes.shape[1] if self._basis is not None else 0

    def build(self, embeddings: np.ndarray) -> None:
        """Index float32 (n, dim) unit vectors; position i of the index is row i."""
        self._flat.build(embeddings)
        self._basis, self._flat_from = None, float("inf")
        n, dim = len(self), embeddings.shape[1]
        tried = [p for p in COMPONENTS if 2 * p <= dim] if self.components is None else [min(self.components, dim)]
        if self.components == 0 or not tried or (self.components is None and n < FEW):
            return
        rng = np.random.default_rng(0)
        whole = principal(self._vectors()[np.sort(rng.permutation(n)[:SAMPLE])], max(tried))
        queries = self._vectors()[rng.integers(n, size=TRIALS)]
        if self.components is not None:
            self._use(whole.narrowed(tried[0]))
        else:
            self._choose(whole, whole.project(self._vectors()), tried, queries)
        self._note(queries)

    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors, projected on what there is."""
        self._flat.add(embeddings)
        if self._basis is not None:
            self._keep(np.concatenate([self._projected, self._basis.project(embeddings)]))

    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the others close up."""
        self._flat.remove(positions)
        if self._basis is not None:
            self._keep(np.delete(self._projected, positions, axis=0))

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, best first; of equal ones the first position) and positions, each (q, k)."""
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        if self._basis is None or k < 1 or len(asked) >= self._flat_from:
            return self._flat.search(asked, k, allowed)
        scores, positions = np.empty((len(asked), k), np.float32), np.empty((len(asked), k), np.int64)
        size = max(1, CHUNK_BYTES // (4 * len(self)))
        for start in range(0, len(asked), size):
            part = asked[start : start + size]
            projected = self._basis.project(part)
            bounds = lower_bounds(self._projected, self._lengths_sq, projected)
            if allowed is not None:
                bounds[:, ~allowed] = np.inf
            for row, (query, own) in enumerate(zip(part, bounds, strict=True), start):
                longest = max(self._longest, float(np.linalg.norm(projected[row - start])))
                scores[row], positions[row] = self._nearest(query, own, k, longest)
        return scores, positions

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions, as they were given."""
        return self._flat.vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss, the flat index, readable by plain FAISS, and prefix.npz, which follows from it."""
        names = self._flat.save(folder)
        settings = {"components": self._p, "flat_from": self._flat_from, "compared": self._compared}
        arrays = {} if self._basis is None else {**vars(self._basis), "projected": self._projected}
        with (folder / FILE).open("wb") as file:
            np.savez(file, settings=np.array(json.dumps(settings)), **arrays)
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote; without its prefix file, the prefix is made anew.

        Raises:
            ValueError: index.faiss is no FAISS index, or the prefix is not of it.
        """
        opened = cls()
        opened._flat = FaissIndex.open(folder)
        if not (folder / FILE).is_file():
            opened.build(opened._vectors())
            return opened
        with np.load(folder / FILE) as stored:
            settings = json.loads(str(stored["settings"]))
            opened.components, opened._flat_from = settings["components"], settings["flat_from"]
            opened._compared = settings["compared"]
            if opened.components:
                opened._basis = Basis(stored["centre"], stored["axes"])
                opened._keep(stored["projected"])
                if len(opened._projected) != len(opened):
                    raise ValueError(f"{FILE} is of {len(opened._projected)} vectors, index.faiss of {len(opened)}")
        return opened

    def __len__(self) -> int:
        return len(self._flat)

    def describe(self) -> dict[str, Any]:
        """Return what was chosen, and the share of the vectors that a search compares in full."""
        flat_from = None if self._flat_from == float("inf") else self._flat_from
        return {
            **super().describe(),
            "components": self._p,
            "plain_flat_from_batch": flat_from,
            "compared_share": self._compared,
        }

    def _nearest(self, query: np.ndarray, bounds: np.ndarray, k: int, longest: float) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and positions of the k nearest, each (k,)."""
        vectors = self._vectors()
        first = np.argpartition(bounds, min(len(bounds), k + 32) - 1)[: k + 32]
        limit = float(np.partition(_distances(vectors, first, query, bounds), k - 1)[k - 1])
        within = np.flatnonzero(bounds <= limit + guard(limit, self._p, vectors.shape[1], longest))
        distances = _distances(vectors, within, query, bounds)
        best = np.argsort(distances, kind="stable")[:k]
        return np.clip(1 - distances[best] / 2, -1, 1), within[best]

    def _choose(self, whole: Basis, projected: np.ndarray, tried: list[int], queries: np.ndarray) -> None:
        times = {0: self._single_ms(queries)}
        for p in tried:
            self._use(whole.narrowed(p), self._cut(projected, p))
            times[p] = self._single_ms(queries)
        best = min(times, key=lambda p: times[p])
        shown = ", ".join(f"{p}: {ms:.2f}" for p, ms in times.items())
        if best == 0:
            self._basis = None
            logger.warning("ExactIndex: no prefix prunes enough to pay, so it is plain Flat (ms a search: %s).", shown)
            return
        self._use(whole.narrowed(best), self._cut(projected, best))
        logger.info("ExactIndex: %d components (ms a search, 0 is plain Flat: %s).", best, shown)
        for size in BATCHES:
            batch = np.resize(queries, (size, queries.shape[1]))
            bound_ms, flat_ms = (_ms(index, batch) for index in (self, self._flat))
            if flat_ms < bound_ms:
                self._flat_from = size
                break

    def _cut(self, projected: np.ndarray, p: int) -> np.ndarray:
        """Return the projection on the first p components, given that on more."""
        rest = np.sqrt(np.square(projected[:, p:], dtype=np.float64).sum(axis=1))
        return np.concatenate([projected[:, :p], rest[:, None].astype(np.float32)], axis=1)

    def _single_ms(self, queries: np.ndarray) -> float:
        self.search(queries[:1], TRIAL_K)
        return median(_ms(self, query[None]) for query in queries)

    def _use(self, basis: Basis, projected: np.ndarray | None = None) -> None:
        self._basis = basis
        self._keep(basis.project(self._vectors()) if projected is None else projected)

    def _keep(self, projected: np.ndarray) -> None:
        self._projected = projected
        self._lengths_sq = np.einsum("ij,ij->i", projected, projected)
        self._longest = float(np.sqrt(self._lengths_sq.max(initial=0))) * (1 + 1e-3)

    def _note(self, queries: np.ndarray) -> None:
        """Measure the share of vectors that a search compares in full."""
        if self._basis is None:
            return
        counts = []
        for query in queries:
            limit = 2 - 2 * float(self.search(query[None], TRIAL_K)[0][0, -1])
            own = self._basis.project(query[None])[0]
            bounds = lower_bounds(self._projected, self._lengths_sq, own)
            counts.append((bounds <= limit + guard(limit, self._p, len(query), self._longest)).mean())
        self._compared = float(median(counts))

    def _vectors(self) -> np.ndarray:
        """Return the flat index's own vectors, not a copy."""
        index = faiss.downcast_index(self._flat._built())
        return faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)


def _distances(vectors: np.ndarray, positions: np.ndarray, query: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return squared L2 distances (m,); infinite where the bound is, that is, where a position isn't allowed."""
    offsets = vectors[positions]
    offsets -= query
    distances = np.einsum("ij,ij->i", offsets, offsets)
    distances[np.isinf(bounds[positions])] = np.inf
    return distances


def _ms(index: Index, queries: np.ndarray) -> float:
    start = time.perf_counter()
    index.search(queries, TRIAL_K)
    return 1000 * (time.perf_counter() - start)
