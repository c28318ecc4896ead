import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from vsearch.indexes.base import Index
from vsearch.indexes.exhaustive import search_in_pieces
from vsearch.indexes.faiss_files import LISTS, copy_lists, in_memory, on_disk, read
from vsearch.indexes.faiss_filtered import among, restricted, whole
from vsearch.indexes.faiss_merging import merged
from vsearch.indexes.faiss_parts import (
    as_written,
    check_enough,
    check_l2,
    inverted,
    reason,
    set_seed,
)
from vsearch.indexes.faiss_removal import removed

FILE, SETTINGS = "index.faiss", "index.json"
# m of n allowed are few up to m * m = FEW * n: about where HNSW32 takes as long as comparing m
# (2,048-d) that are given
# back one by one; or FEW_WHOLE * n, where they lie there whole
FEW, FEW_WHOLE = 200, 1000
SEVERAL = 8  # queries from which on a matrix product pays for bringing the vectors together


class FaissIndex(Index):
    """Any index of FAISS, named by its factory string, over unit vectors with squared L2; scores
    come out as cosines.

    FAISS returns squared L2 distances d2; for unit vectors |a - b|^2 = |a|^2 + |b|^2 - 2 a.b = 2 -
    2 cos, hence cos = 1 - d2 / 2. An index that keeps codes (PQ, SQ, RaBitQ) estimates d2.

    Args:
        factory: FAISS's own language
            (https://github.com/facebookresearch/faiss/wiki/The-index-factory): `Flat`,
            `IVF1024,Flat`, `OPQ64_256,IVF1024,PQ64`, `HNSW32`, `PQ256x4fs,RFlat`, `SQ8`, ...
        search: parameters by FAISS's own names, as its ParameterSpace takes them: nprobe, efSearch,
            k_factor_rf, ...; efConstruction, how thoroughly a graph is made (FAISS's own: 40),
            counts when vectors are added.
        train_sample: how many vectors, drawn at random, centroids and codes are trained on; None:
            all (FAISS itself draws up to 256 a centroid).
        seed: of that sample and of k-means.
        threads: for building and searching; None: as many as OpenMP would take.
        mmap: once saved and opened, leave flat vectors and inverted lists on the disk until a
            search reads them. Adding and removing bring the whole index into memory.
    """

    def __init__(
        self,
        factory: str = "Flat",
        search: dict[str, float] | None = None,
        train_sample: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        mmap: bool = False,
    ) -> None:
        self.factory, self.train_sample, self.seed, self.threads = (
            factory,
            train_sample,
            seed,
            threads,
        )
        self.mmap, self._mapped = mmap, False
        self._describe(dict(search or {}))
        self._index: faiss.Index | None = None

    def check(self, n: int, dim: int) -> None:
        """Refuse a factory string or search parameters that FAISS doesn't know, and fewer vectors
        than centroids.
        """
        index = self._made(dim)
        if not index.is_trained:
            check_enough(index, self.factory, n, self.train_sample)

    def build(self, embeddings: np.ndarray) -> None:
        """Train where the kind needs it, and index float32 (n, dim) unit vectors; position i of the
        index is row i.

        Raises:
            ValueError: the vectors are not of unit length, FAISS doesn't know the factory string or
                a search parameter, can't fill such an index, or its distances are no squared L2; or
                there are fewer vectors than centroids: the message has the number that would do.
        """
        vectors = self._units(embeddings)
        with self._threads(), self._filling():
            index = self._trained(vectors)
            index.add(vectors)
        self._index, self._mapped = index, False

    def train(self, embeddings: np.ndarray) -> None:
        """Train on float32 (m, dim) unit vectors, and hold none yet; `sample` says which ones
        `build` takes.

        Raises:
            ValueError: as `build` does.
        """
        with self._threads(), self._filling():
            self._index, self._mapped = self._trained(self._units(embeddings)), False

    def sample(self, n: int) -> np.ndarray:
        """Return int (m,), rising: the positions that `build` trains on, of n vectors."""
        if self.train_sample is None or self.train_sample >= n:
            return np.arange(n)
        return np.sort(np.random.default_rng(self.seed).permutation(n)[: self.train_sample])

    def join(self, shards: Sequence[Path], lists: Path) -> None:
        """Hold what indexes hold that `train` and `add` made of the same beginning, in order; see
        `faiss_merging`.

        Args:
            shards: the folders that they were saved in, one at least.
            lists: a file that inverted lists are merged into, rather than in memory, if this index
                is to be mapped.

        Raises:
            ValueError: this kind can't be joined, or a shard is no index.
        """
        files = [folder / FILE for folder in shards]
        try:
            self._index = self._set(
                merged(files, lists if self.mmap else None), self.search_parameters
            )
        except RuntimeError as error:
            raise ValueError(f"{self.factory}: shards can't be joined: {reason(error)}") from error
        self._mapped = on_disk(self._index) is not None

    def add(self, embeddings: np.ndarray, first: int | None = None) -> None:
        """Append float32 (m, dim) unit vectors, coded with what was trained.

        In a shard with inverted lists, `first` is the position that the first one is to have once
        the shard is joined.

        Raises:
            ValueError: they are not of unit length, or FAISS adds nothing to this kind.
        """
        with self._threads(), self._filling():
            index, vectors = self._changeable(), self._units(embeddings)
            if first is None or inverted(index) is None:
                index.add(vectors)
            else:
                index.add_with_ids(vectors, np.arange(first, first + len(vectors)))

    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the others close up.

        Raises:
            ValueError: FAISS takes nothing out of this kind; the index is as it was.
        """
        with self._threads():
            self._index = removed(self._changeable(), np.unique(positions).astype(np.int64))

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (cosines, best first) and positions, each (q, k).

        When few are `allowed`, each of them is compared; else the index is searched with FAISS's
        selector and farther than without one, or, for kinds that have none, for more hits. For
        queries that this leaves places unfilled, or whose walk through a graph meets few of the
        allowed ones, each is compared after all. So no place stays empty, and nothing else is
        found. Kinds that keep codes compare what they decode.
        """
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        with self._threads():
            if allowed is None:
                return self._cosines(self._built().search(asked, max(1, min(k, len(self)))))
            return self._search_allowed(asked, min(k, int(allowed.sum())), allowed)

    def set(self, **parameters: float) -> None:
        """Change parameters for searching, by FAISS's own names; the spec follows.

        Raises:
            ValueError: this kind takes no such parameter.
        """
        self._set(self._built(), parameters)
        self._describe({**self.search_parameters, **parameters})

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions; decoded, where the kind keeps codes.

        Raises:
            ValueError: this kind can't give its vectors back.
        """
        try:
            return as_written(self._built(), np.asarray(positions, dtype=np.int64))
        except RuntimeError as error:
            raise ValueError(
                f"{self.factory} can't give its vectors back: {reason(error)}"
            ) from error

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss, readable by plain FAISS, index.json with the settings, and lists that
        are on the disk.
        """
        with (folder / FILE).open(
            "wb"
        ) as file:  # by Python: FAISS's own writing can end well on a full disk
            faiss.write_index(self._built(), faiss.PyCallbackIOWriter(file.write))
        lists = on_disk(self._built())
        if lists is not None:
            copy_lists(lists, folder)
        settings = {
            name: getattr(self, name)
            for name in ("factory", "train_sample", "seed", "threads", "mmap")
        }
        (folder / SETTINGS).write_text(json.dumps({**settings, "search": self.search_parameters}))
        return [FILE, SETTINGS, *([] if lists is None else [LISTS])]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote."""
        try:
            opened = cls(**json.loads((folder / SETTINGS).read_text()))
            opened._index = opened._set(read(folder / FILE, opened.mmap), opened.search_parameters)
        except (RuntimeError, TypeError, OSError) as error:
            raise ValueError(f"not a FAISS index: {reason(error)}") from error
        opened._mapped = opened.mmap
        return opened

    def __len__(self) -> int:
        return self._index.ntotal if self._index is not None else 0

    def describe(self) -> dict[str, Any]:
        """Return factory string, search parameters and size."""
        return {**super().describe(), "factory": self.factory, "search": self.search_parameters}

    def _made(self, dim: int) -> faiss.Index:
        try:
            index = faiss.index_factory(dim, self.factory, faiss.METRIC_L2)
        except RuntimeError as error:
            raise ValueError(
                f"factory: FAISS makes no {self.factory!r} of {dim} dimensions: {reason(error)}"
            ) from error
        check_l2(index, self.factory)
        set_seed(index, self.seed)
        return self._set(index, self.search_parameters)

    def _set(self, index: faiss.Index, parameters: dict[str, float]) -> faiss.Index:
        for name, value in parameters.items():
            try:
                faiss.ParameterSpace().set_index_parameter(index, name, value)
            except RuntimeError as error:
                raise ValueError(
                    f"search: {self.factory} takes no {name!r}: {reason(error)}"
                ) from error
        return index

    def _describe(self, search: dict[str, float]) -> None:
        self.search_parameters = search
        self.spec = ", ".join(
            [self.factory, *(f"{name}={value:g}" for name, value in search.items())]
        )

    def _trained(self, vectors: np.ndarray) -> faiss.Index:
        index = self._made(vectors.shape[1])
        if not index.is_trained:
            check_enough(index, self.factory, len(vectors), self.train_sample)
            few = self.train_sample is not None and self.train_sample < len(vectors)
            index.train(vectors[self.sample(len(vectors))] if few else vectors)
        return index

    def _search_allowed(
        self, queries: np.ndarray, k: int, allowed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        positions, index = np.flatnonzero(allowed), self._built()
        few = FEW if whole(index) is None else FEW_WHOLE
        if len(positions) <= k or len(positions) ** 2 <= few * len(allowed):
            return self._compared(queries, k, positions)
        everything = len(positions) == len(allowed)
        scores, found = self._cosines(
            index.search(queries, k) if everything else restricted(index, queries, k, allowed)
        )
        short = (found < 0).any(axis=1)
        if short.any():
            scores[short], found[short] = self._compared(queries[short], k, positions)
        return scores, found

    def _compared(
        self, queries: np.ndarray, k: int, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare queries with each vector at int64 (m,) positions, m at least k."""
        vectors = whole(self._built())
        if vectors is None or k == 0 or len(queries) >= SEVERAL:
            return search_in_pieces(self.vectors, positions, queries, k)
        return self._cosines(among(vectors, queries, k, positions))

    def _cosines(self, answer: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        distances_l2sq, positions = answer
        return np.where(
            positions >= 0, np.clip(1 - distances_l2sq / 2, -1, 1), np.float32(-1)
        ), positions

    def _units(self, embeddings: np.ndarray) -> np.ndarray:
        vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        if len(vectors) == 0 or not np.allclose(norms, 1, atol=1e-3):
            raise ValueError(
                f"an index needs unit vectors; got {len(vectors)} with norms {norms[:3]} ..."
            )
        return vectors

    def _built(self) -> faiss.Index:
        if self._index is None:
            raise ValueError("the index is empty: build it first")
        return self._index

    def _changeable(self) -> faiss.Index:
        if self._mapped:
            self._index, self._mapped = in_memory(self._built()), False
        return self._built()

    @contextmanager
    def _filling(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise ValueError(
                f"factory: FAISS can't fill {self.factory}: {reason(error)}"
            ) from error

    @contextmanager
    def _threads(self) -> Iterator[None]:
        before = faiss.omp_get_max_threads()
        if self.threads is not None:
            faiss.omp_set_num_threads(self.threads)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(before)
