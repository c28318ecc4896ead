import logging
from functools import partial
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import faiss
import numpy as np

from vsearch.indexes.base import Index
from vsearch.indexes.exhaustive import Hits
from vsearch.indexes.faiss import SEVERAL, FaissIndex, cosines
from vsearch.indexes.prefix import Prefix
from vsearch.indexes.prefix_bound import farthest, principal_axes, turned
from vsearch.indexes.timing import in_turn

FILE = "codes.npz"
COMPONENTS = 192  # or half of the dimensions
FEW = 2_000  # vectors; with fewer, a prefix saves nothing
# Among n vectors, one query finds up to n / ALONE hits sooner than plain Flat; SEVERAL find up to
# n / IN_BATCH, as it compares them with all vectors at once
ALONE = 20
IN_BATCH = 200
NARROW = 64  # dimensions; below, components cost as much as vectors
BATCHES = (1, 8, 32, 128)  # tried at build time, against plain Flat
ROUNDS = 5
SAMPLE = 8192  # vectors to compute the principal axes from
TRIALS = 32  # searches that decide
TRIAL_K = 11  # the first hit of an indexed vector is itself, so 11 for the tenth
FIRST = 8  # vectors, besides k, that seem nearest; comparing them limits the others
TOGETHER = 32  # queries at a time
NEVER = float("inf")
UNREADABLE = (KeyError, TypeError, ValueError, BadZipFile, EOFError, RuntimeError, AssertionError)
logger = logging.getLogger(__name__)


class ExactIndex(Index):
    """The same hits as FAISS's IndexFlatL2, up to ties within rounding, for a fraction of the work.

    First components in 8 bits give a lower bound on distances, rounding included (`prefix_bound`),
    and most of their lists are too far away to hold a hit (`prefix`). The vectors that seem nearest
    are compared in full, and then every vector that can be as near as the k-th best of these. Plain
    Flat searches where that doesn't pay: for many hits, and from the batch size that a trial finds.

    Args:
        threads: of FAISS; None: its default.
    """

    exact = True
    _prefix: Prefix | None

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self._flat = FaissIndex("Flat", threads=threads)
        self._forget_prefix()

    @property
    def spec(self) -> str:  # type: ignore[override]
        """The index in words."""
        if self._prefix is None:
            return "Flat"
        return f"Flat, exact by a prefix of {self._prefix.grid.components} components"

    def build(self, embeddings: np.ndarray) -> None:
        """See `Index`."""
        self._flat.build(embeddings)
        self._build_prefix()

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors, projected on the existing axes."""
        self._flat.add(embeddings)
        prefix = self._prefix
        if prefix is None:
            return
        error = prefix.error
        with self._flat.limited_threads():
            prefix.add(np.asarray(embeddings, dtype=np.float32))
            if prefix.error > 2 * error:  # outside of the grid: the bound is loose for all
                self._prefix = Prefix.of(self._flat_vectors(), prefix.grid.basis)

    def remove(self, positions: np.ndarray) -> None:
        """See `Index`."""
        self._flat.remove(positions)
        if self._prefix is not None:
            self._prefix.remove(positions)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`; of equal distances the first position wins."""
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        n = len(self) if allowed is None else int(allowed.sum())
        k = min(k, n)
        prefix = self._prefix
        plain = k < 1 or self._flat_is_faster(len(asked), n, k) or not np.isfinite(asked).all()
        if prefix is None or plain:
            return self._flat.search(asked, k, allowed)

        selector = None
        share = 1.0
        if allowed is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            share = allowed.mean()
        distances_l2sq = np.empty((len(asked), k), np.float32)
        positions = np.empty((len(asked), k), np.int64)
        with self._flat.limited_threads():
            for start in range(0, len(asked), TOGETHER):
                part = asked[start : start + TOGETHER]
                codes = prefix.query_codes(part, k + FIRST, share)
                limits = self._kth(part, k, prefix.first(codes, k + FIRST, selector))
                for row, left in enumerate(prefix.remaining(codes, limits, selector), start):
                    of_left = self._distances_l2sq(asked[row, None], left[None])[0]
                    best = of_left.argsort(kind="stable")[:k]
                    distances_l2sq[row] = of_left[best]
                    positions[row] = left[best]
        return cosines(distances_l2sq), positions

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors as they were given."""
        return self._flat.vectors(positions)

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss, a flat index of plain FAISS, and codes.npz, computed from it."""
        names = self._flat.save(folder)
        packed = {} if self._prefix is None else self._prefix.packed()
        with (folder / FILE).open("wb") as file:
            np.savez(file, flat_from=self._flat_from, **packed)
        return [*names, FILE]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote; without codes.npz, the codes are computed again."""
        opened = cls()
        opened._flat = FaissIndex.open(folder, mmap=True)  # a search reads few of the vectors
        opened.threads = opened._flat.threads
        if not isinstance(opened._flat.built, faiss.IndexFlat):
            raise ValueError(f"not an exact index: {opened._flat.spec}")
        if not (folder / FILE).is_file():
            opened._build_prefix()
            return opened
        try:
            opened._read_prefix(folder / FILE)
        except UNREADABLE as error:
            raise ValueError(f"{FILE} doesn't fit index.faiss: {error}") from error
        return opened

    def __len__(self) -> int:
        return len(self._flat)

    def describe(self) -> dict[str, Any]:
        """See `Index`; batches of `plain_flat_from_batch` queries and more go to plain Flat."""
        from_batch = None if self._flat_from == NEVER else self._flat_from
        return {**super().describe(), "plain_flat_from_batch": from_batch}

    def _flat_is_faster(self, n_queries: int, n: int, k: int) -> bool:
        """Return whether plain Flat finds the k best of n vectors sooner."""
        most = n / (IN_BATCH if n_queries >= SEVERAL else ALONE)
        return n < FEW or k > most or n_queries >= self._flat_from

    def _kth(self, queries: np.ndarray, k: int, positions: np.ndarray) -> np.ndarray:
        """Return L2 distances (q,) that the k nearest are within.

        The k-th best of those at some positions (q, m) is no nearer than the k-th best of all.
        """
        distances_l2sq = self._distances_l2sq(queries, positions)
        distances_l2sq.partition(k - 1, axis=1)
        return farthest(distances_l2sq[:, k - 1].astype(np.float64), queries.shape[1])

    def _distances_l2sq(self, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return distances float32 (q, m) from vectors at int64 (q, m), as IndexFlatL2 rounds."""
        found = np.empty(positions.shape, dtype=np.float32)
        asked, found_at, at = map(faiss.swig_ptr, (queries, found, positions))
        self._flat.built.compute_distance_subset(
            len(queries), asked, positions.shape[1], found_at, at
        )
        return found

    def _forget_prefix(self) -> None:
        self._prefix = None
        self._flat_from = NEVER  # the batch size from which plain Flat is faster

    def _build_prefix(self) -> None:
        """Code the flat index's vectors, unless that doesn't pay."""
        self._forget_prefix()
        vectors = self._flat_vectors()
        n, dim = vectors.shape
        if n < FEW or dim < NARROW:
            return

        components = min(COMPONENTS, dim // 32 * 16)  # FAISS compares 16 bytes at once
        drawn = np.random.default_rng(0).permutation(n)
        # In a large gallery, the axes weren't computed from these
        queries = vectors[drawn[-TRIALS:]]
        with self._flat.limited_threads():
            basis = turned(principal_axes(vectors[np.sort(drawn[:SAMPLE])], components))
            self._prefix = Prefix.of(vectors, basis)
            self._flat_from = self._find_crossing(queries)
        if self._flat_from == 1:
            logger.warning("ExactIndex: no prefix prunes enough to help: plain Flat.")
            self._forget_prefix()

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

    def _read_prefix(self, path: Path) -> None:
        """Read the prefix from its file, if some of its codes fit the flat index's vectors."""
        with np.load(path) as stored:
            self._flat_from = float(stored["flat_from"])
            if len(stored.files) == 1:
                return
            prefix = Prefix.unpacked(stored)
        vectors = self._flat_vectors()
        n = len(vectors)
        probe = np.linspace(0, n - 1, min(n, 16), dtype=int)
        if len(prefix) != n or not prefix.holds(vectors[probe], probe):
            raise ValueError("it holds other vectors")
        self._prefix = prefix

    def _flat_vectors(self) -> np.ndarray:
        """Return the flat index's vectors without a copy."""
        index = self._flat.built
        numbers = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
        return numbers.reshape(index.ntotal, index.d)
