import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Self
from zipfile import BadZipFile

import faiss
import numpy as np
import threadpoolctl

from vsearch.indexes.base import Index
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.prefix_bound import Prefix, least, principal_axes, projection_error

FILE = "prefix.npz"
COMPONENTS = (32, 64, 96, 128, 192, 256)  # tried at build time
SAMPLE = 8192  # vectors that the principal axes are computed from
TRIALS, TRIAL_K = (
    32,
    11,
)  # searches that choose; the first hit of an indexed vector is itself, so 11 for the tenth
FEW = 2_000  # vectors below which nothing is gained
BATCHES = (8, 32, 128)
FIRST = 64  # vectors beside the k best by the bound that are compared first
CHUNK_BYTES = 4 << 20  # of bounds held at once: what stays in a cache
logger = logging.getLogger(__name__)


class ExactIndex(Index):
    """Exact search that skips most of the work: the same hits as FAISS's IndexFlatL2, up to ties
    within rounding.

    Each vector has, beside itself, its first principal components and the length of the rest. From
    these alone follows a bound that its distance can't fall below, rounding included (see
    `prefix_bound`). The few vectors of the lowest bounds are compared exactly; the k-th best of
    their distances is the limit, and every vector whose bound is within the limit is compared too,
    by FAISS itself. Where the bound doesn't prune enough to pay, it is plain Flat.

    Args:
        components: how many; 0: none, plain Flat; None: what is fastest for a sample of the
            vectors, tried at build time. From which batch size on plain Flat is faster is tried in
            any case. Hits don't depend on it.
        threads: of FAISS and of NumPy's BLAS, for building and searching; None: as many as they
            would take.

    Raises:
        ValueError: `components` is negative.
    """

    def __init__(self, components: int | None = None, threads: int | None = None) -> None:
        if components is not None and components < 0:
            raise ValueError(
                f"components: {components} is no number of components. 0: plain Flat; null: try "
                "some."
            )
        self.components, self.threads = components, threads
        self._flat = FaissIndex("Flat", threads=threads)
        self._prefix: Prefix | None = None
        self._flat_from, self._compared = float("inf"), 1.0

    @property
    def spec(self) -> str:  # type: ignore[override]
        """What the index is."""
        return f"Flat, exact by a prefix of {self._p} components" if self._p else "Flat"

    @property
    def _p(self) -> int:
        return self._prefix.basis.shape[1] if self._prefix is not None else 0

    def build(self, embeddings: np.ndarray) -> None:
        """Index float32 (n, dim) unit vectors; position i of the index is row i."""
        self._flat.build(embeddings)
        with self._threads():
            self._build_prefix()

    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors, projected on the axes that there are."""
        self._flat.add(embeddings)
        if self._prefix is not None:
            with self._threads():
                self._prefix = self._prefix.appended(np.asarray(embeddings, dtype=np.float32))

    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the others close up."""
        self._flat.remove(positions)
        if self._prefix is not None:
            self._prefix = self._prefix.without(positions)

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, best first; of equal distances the first position) and positions,
        each (q, k).
        """
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, len(self) if allowed is None else int(allowed.sum()))
        if (
            self._prefix is None
            or k < 1
            or len(asked) >= self._flat_from
            or not np.isfinite(asked).all()
        ):
            return self._flat.search(asked, k, allowed)
        among = None if allowed is None or allowed.all() else np.flatnonzero(allowed)
        scores, positions = (
            np.empty((len(asked), k), np.float32),
            np.empty((len(asked), k), np.int64),
        )
        size = max(1, CHUNK_BYTES // (4 * len(self)))
        with self._threads():
            for start in range(0, len(asked), size):
                part = asked[start : start + size]
                projected = self._prefix.ask(part)
                slacks, nearness = self._prefix.slack(projected), projected @ self._prefix.rows
                for row, one in enumerate(zip(part, nearness, slacks, strict=True), start):
                    scores[row], positions[row], _ = self._nearest(*one, k, among)
        return scores, positions

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions, as they were given."""
        return self._flat.vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss, the flat index, readable by plain FAISS, and prefix.npz, which follows
        from it.
        """
        names = self._flat.save(folder)
        settings = {"components": self._p, "flat_from": self._flat_from, "compared": self._compared}
        given = {"wanted": self.components}  # what `build` is to do, beside what it chose
        arrays = (
            {} if self._prefix is None else {"basis": self._prefix.basis, "rows": self._prefix.rows}
        )
        with (folder / FILE).open("wb") as file:
            np.savez(file, settings=np.array(json.dumps({**settings, **given})), **arrays)  # type: ignore[arg-type]
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote; without its prefix file, the prefix is made anew.

        Raises:
            ValueError: index.faiss is no flat FAISS index, or prefix.npz is not its prefix.
        """
        opened = cls()
        opened._flat = FaissIndex.open(folder)
        opened.threads = opened._flat.threads
        if not isinstance(faiss.downcast_index(opened._flat._built()), faiss.IndexFlat):
            raise ValueError(f"not an exact index: {opened._flat.spec}")
        if not (folder / FILE).is_file():
            with opened._threads():
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
        flat_from = None if self._flat_from == float("inf") else self._flat_from
        return {
            **super().describe(),
            "components": self._p,
            "plain_flat_from_batch": flat_from,
            "compared_share": self._compared,
        }

    def _nearest(
        self,
        query: np.ndarray,
        nearness: np.ndarray,
        slack: float,
        k: int,
        among: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return scores and positions of the k nearest, each (k,), and how many vectors were
        compared.
        """
        if among is not None:
            nearness = nearness[among]
        sure = len(nearness) - k - FIRST
        bar = np.partition(nearness, sure)[sure] if sure > 0 else -np.inf
        first = np.flatnonzero(nearness >= bar)
        distances_l2sq = self._distances(query, first if among is None else among[first])
        limit = float(np.partition(distances_l2sq, k - 1)[k - 1])
        wide = query.astype(np.float64)
        others = np.flatnonzero(nearness >= least(float(wide @ wide), limit, len(wide), slack))
        others = others[nearness[others] < bar]
        positions = np.concatenate([first, others])
        if among is not None:
            positions, others = among[positions], among[others]
        distances_l2sq = np.concatenate([distances_l2sq, self._distances(query, others)])
        best = np.lexsort((positions, distances_l2sq))[:k]
        return np.clip(1 - distances_l2sq[best] / 2, -1, 1), positions[best], len(positions)

    def _distances(self, query: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return squared L2 distances to (m,) positions, computed as IndexFlatL2 computes those of
        one query.
        """
        distances_l2sq = np.empty(len(positions), dtype=np.float32)
        if len(positions):  # FAISS refuses none
            pointers = map(faiss.swig_ptr, (query, distances_l2sq, positions))
            index, x, found, ids = faiss.downcast_index(self._flat._built()), *pointers
            index.compute_distance_subset(1, x, len(positions), found, ids)
        return distances_l2sq

    def _build_prefix(self) -> None:
        """Choose how many components, and project the flat index's vectors on them."""
        vectors = self._vectors()
        n, dim = vectors.shape
        self._prefix, self._flat_from, self._compared = None, float("inf"), 1.0
        tried = (
            [p for p in COMPONENTS if 2 * p <= dim]
            if self.components is None
            else [min(self.components, dim)]
        )
        if self.components == 0 or not tried or (self.components is None and n < FEW):
            logger.info("ExactIndex: plain Flat, of %d vectors of %d dimensions.", n, dim)
            return
        drawn = np.random.default_rng(0).permutation(n)
        queries = vectors[drawn[-TRIALS:]]  # of a large gallery, the axes don't know them
        axes = principal_axes(vectors[np.sort(drawn[:SAMPLE])], max(tried))
        self._prefix = Prefix.of(vectors, axes)
        if self.components is None:
            self._choose(self._prefix, tried, queries)
        if self._prefix is not None and n >= FEW:
            self._flat_from = self._crossing(queries)
        self._compared = self._compared_share(queries)

    def _choose(self, whole: Prefix, tried: list[int], queries: np.ndarray) -> None:
        """Keep the prefix that is fastest for single queries, if any beats plain Flat."""
        self._prefix = None
        times, best = {0: self._single_ms(queries)}, None
        for p in tried:
            self._prefix = whole.shortened(p)
            times[p] = self._single_ms(queries)
            if times[p] == min(times.values()) < times[0]:
                best = self._prefix
        self._prefix = best
        shown = ", ".join(f"{p}: {ms:.2f}" for p, ms in times.items())
        if best is None:
            logger.warning(
                "ExactIndex: no prefix prunes enough to pay, so it is plain Flat (ms a search: "
                "%s).",
                shown,
            )
            return
        logger.info("ExactIndex: %d components (ms a search, 0 is plain Flat: %s).", self._p, shown)

    def _crossing(self, queries: np.ndarray) -> float:
        """Return the batch size from which plain Flat is faster; inf: none."""
        for size in BATCHES:
            batch = np.resize(queries, (size, queries.shape[1]))
            bound_ms, flat_ms = (_ms(index, batch) for index in (self, self._flat))
            if flat_ms < bound_ms:
                return size
        return float("inf")

    def _single_ms(self, queries: np.ndarray) -> float:
        self.search(queries[:1], TRIAL_K)
        return median(_ms(self, query[None]) for query in queries)

    def _compared_share(self, queries: np.ndarray) -> float:
        if self._prefix is None:
            return 1.0
        projected = self._prefix.ask(queries)
        each = zip(
            queries, projected @ self._prefix.rows, self._prefix.slack(projected), strict=True
        )
        k = min(TRIAL_K, len(self))
        return float(median(self._nearest(*one, k, None)[2] for one in each)) / len(self)

    def _read_prefix(self, path: Path) -> None:
        """Take the prefix from its file, once some of its vectors have been compared with the flat
        index's.

        Raises:
            ValueError: it isn't of these vectors.
        """
        with np.load(path) as stored:
            settings = json.loads(str(stored["settings"]))
            self.components, self._flat_from = settings.get("wanted"), settings["flat_from"]
            self._compared = settings["compared"]
            if not settings["components"]:
                return
            prefix = Prefix(stored["basis"], projection_error(stored["basis"]), stored["rows"])
        n, dim = self._vectors().shape
        if prefix.rows.shape[1] != n or len(prefix.basis) != dim:
            held = f"{prefix.rows.shape[1]} vectors of {len(prefix.basis)} dimensions"
            raise ValueError(f"it holds {held}, not {n} of {dim}")
        probe = np.linspace(0, n - 1, 16, dtype=int)
        if not np.allclose(
            Prefix.of(self._vectors()[probe], prefix.basis).rows, prefix.rows[:, probe], atol=1e-6
        ):
            raise ValueError("it holds other vectors")
        self._prefix = prefix

    def _vectors(self) -> np.ndarray:
        """Return the flat index's own vectors, not a copy."""
        index = faiss.downcast_index(self._flat._built())
        return faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(
            index.ntotal, index.d
        )

    @contextmanager
    def _threads(self) -> Iterator[None]:
        if self.threads is None:
            yield
            return
        with _blas().limit(limits=self.threads):
            yield


@cache
def _blas() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def _ms(index: Index, queries: np.ndarray) -> float:
    start = time.perf_counter()
    index.search(queries, TRIAL_K)
    return 1000 * (time.perf_counter() - start)
