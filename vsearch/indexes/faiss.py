import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from vsearch.indexes.base import Index, as_unit_vectors
from vsearch.indexes.exhaustive import Hits, search_in_pieces
from vsearch.indexes.faiss_files import LISTS, copy_lists, in_memory, merged, on_disk, read
from vsearch.indexes.faiss_filtered import Found, among, restricted, whole
from vsearch.indexes.faiss_kinds import (
    as_stored,
    check_enough,
    check_l2,
    inverted,
    reason,
    set_seed,
    train_components,
)
from vsearch.indexes.faiss_removal import remove

FILE = "index.faiss"
SETTINGS = "index.json"
# Each of m allowed ones of n is compared up to m * m = FEW * n, or FEW_WHOLE * n where vectors are
# kept whole: about where HNSW32 takes as long (2,048-d)
FEW = 200
FEW_WHOLE = 1000
SEVERAL = 8  # queries from which on a matrix product pays for bringing the vectors together
MOST_THREADS = 1024


class FaissIndex(Index):
    """Any index of FAISS, named by its factory string.

    FAISS returns squared L2 distances d2; for unit vectors d2 = |a|^2 + |b|^2 - 2 a.b, hence the
    score is cos = 1 - d2 / 2. An index that keeps codes (PQ, SQ, RaBitQ) estimates d2.

    Args:
        factory: FAISS's own language
            (https://github.com/facebookresearch/faiss/wiki/The-index-factory): `Flat`,
            `IVF1024,Flat`, `OPQ64_256,IVF1024,PQ64`, `HNSW32`, `PQ256x4fs,RFlat`, `SQ8`, ...
        search: parameters by the names of FAISS's ParameterSpace: nprobe, efSearch, k_factor_rf,
            ...; efConstruction (FAISS's own: 40) counts when vectors are added to a graph.
        train_sample: how many vectors, drawn at random, to train on; None: all (FAISS itself draws
            up to 256 a centroid).
        seed: of that sample and of k-means.
        threads: None: as many as OpenMP would take.
        mmap: leave flat vectors and inverted lists of an opened index on the disk until a search
            reads them. Adding and removing bring the whole index into memory.
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
        self.factory = factory
        self.search_parameters = dict(search or {})
        self.train_sample = train_sample
        self.seed = seed
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"threads: {threads} is no number from 1 to {MOST_THREADS:,}.")
        self.threads = threads
        self.mmap = mmap
        self._index: faiss.Index | None = None
        self._mapped = False

    @property
    def spec(self) -> str:  # type: ignore[override]
        """Factory string and search parameters."""
        told = [f"{name}={value:g}" for name, value in self.search_parameters.items()]
        return ", ".join([self.factory, *told])

    @property
    def exact(self) -> bool:
        """Whether every whole vector is compared."""
        return self.factory == "Flat"

    @property
    def built(self) -> faiss.Index:
        """FAISS's own index; a ValueError if there is none yet."""
        if self._index is None:
            raise ValueError("the index is empty: build it first")
        return self._index

    def check(self, n: int, dim: int) -> None:
        """Refuse what FAISS doesn't know, and fewer vectors than centroids."""
        index = self._made(dim)
        if not index.is_trained:
            check_enough(index, self.factory, n, self.train_sample)

    def build(self, embeddings: np.ndarray) -> None:
        """Train where the kind needs it, and index the vectors."""
        vectors = as_unit_vectors(embeddings)
        with self._filling():
            index = self._trained(vectors)
            index.add(vectors)
        self._index = index
        self._mapped = False

    def train(self, embeddings: np.ndarray) -> None:
        """Train on float32 (m, dim) unit vectors, and hold none yet."""
        with self._filling():
            self._index = self._trained(as_unit_vectors(embeddings))
            self._mapped = False

    def sample(self, n: int) -> np.ndarray:
        """Return int (m,), rising: the positions that `build` trains on, of n vectors."""
        if self.train_sample is None or self.train_sample >= n:
            return np.arange(n)
        return np.sort(np.random.default_rng(self.seed).permutation(n)[: self.train_sample])

    def join(self, shards: Sequence[Path], lists: Path) -> None:
        """Hold what shards hold, in order, that `train` and `add` made of the same beginning.

        Args:
            shards: the folders that they were saved in, one at least.
            lists: a file that inverted lists are merged into, if this index is to be mapped.
        """
        files = [folder / FILE for folder in shards]
        try:
            index = merged(files, lists if self.mmap else None)
        except RuntimeError as error:
            raise ValueError(f"{self.factory}: shards can't be joined: {reason(error)}") from error
        self._set(index, self.search_parameters)
        self._index = index
        self._mapped = on_disk(index) is not None

    def add(self, embeddings: np.ndarray, first: int | None = None) -> None:
        """Append float32 (m, dim) unit vectors, coded with what was trained.

        In a shard with inverted lists, `first` is the position that the first one is to have once
        the shard is joined.
        """
        with self._filling():
            index = self._changeable()
            vectors = as_unit_vectors(embeddings)
            if first is None or inverted(index) is None:
                index.add(vectors)
            else:
                index.add_with_ids(vectors, np.arange(first, first + len(vectors)))

    def remove(self, positions: np.ndarray) -> None:
        """Take out vectors, or refuse it if FAISS takes nothing out of this kind."""
        with self._threads():
            remove(self._changeable(), np.unique(positions).astype(np.int64))

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`.

        When few are `allowed`, each of them is compared; else the index is searched with FAISS's
        selector and farther than without one, or, for kinds that have none, for more hits. For
        queries that this leaves places unfilled, or whose walk through a graph meets few of the
        allowed ones, each is compared after all. Kinds that keep codes compare what they decode.
        """
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        with self._threads():
            if allowed is None:
                return _hits(self.built.search(asked, max(1, min(k, len(self)))))
            return self._search_allowed(asked, min(k, int(allowed.sum())), allowed)

    def set(self, **parameters: float) -> None:
        """Change parameters for searching, by FAISS's own names."""
        self._set(self.built, parameters)
        self.search_parameters = {**self.search_parameters, **parameters}

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("factory", "train_sample", "seed", "threads", "mmap")
        return {name: getattr(self, name) for name in names} | {"search": self.search_parameters}

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors, decoded where the kind keeps codes; some kinds can't give them back."""
        try:
            return as_stored(self.built, np.asarray(positions, dtype=np.int64))
        except RuntimeError as error:
            raise ValueError(
                f"{self.factory} can't give its vectors back: {reason(error)}"
            ) from error

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss of plain FAISS, index.json, and lists that are on the disk."""
        # FAISS's own writing can end well on a full disk; Python's can't
        with (folder / FILE).open("wb") as file:
            faiss.write_index(self.built, faiss.PyCallbackIOWriter(file.write))
        (folder / SETTINGS).write_text(json.dumps(self.settings()))
        lists = on_disk(self.built)
        if lists is None:
            return [FILE, SETTINGS]
        copy_lists(lists, folder)
        return [FILE, SETTINGS, LISTS]

    @classmethod
    def open(cls, folder: Path, mmap: bool | None = None) -> Self:
        """See `Index`; `mmap` takes the setting's place for what is opened now."""
        try:
            opened = cls(**json.loads((folder / SETTINGS).read_text()))
            mapped = opened.mmap if mmap is None else mmap
            index = read(folder / FILE, mapped)
        except (RuntimeError, TypeError, OSError) as error:
            raise ValueError(f"not a FAISS index: {reason(error)}") from error
        opened._set(index, opened.search_parameters)
        opened._index = index
        opened._mapped = mapped
        return opened

    def __len__(self) -> int:
        return self._index.ntotal if self._index is not None else 0

    def describe(self) -> dict[str, Any]:
        """See `Index`."""
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
        self._set(index, self.search_parameters)
        return index

    def _set(self, index: faiss.Index, parameters: dict[str, float]) -> None:
        for name, value in parameters.items():
            try:
                faiss.ParameterSpace().set_index_parameter(index, name, value)
            except RuntimeError as error:
                raise ValueError(
                    f"search: {self.factory} takes no {name!r}: {reason(error)}"
                ) from error

    def _trained(self, vectors: np.ndarray) -> faiss.Index:
        index = self._made(vectors.shape[1])
        if not index.is_trained:
            check_enough(index, self.factory, len(vectors), self.train_sample)
            sample = self.sample(len(vectors))
            trained_on = vectors[sample] if len(sample) < len(vectors) else vectors
            train_components(index, trained_on)
            index.train(trained_on)
        return index

    def _search_allowed(self, queries: np.ndarray, k: int, allowed: np.ndarray) -> Hits:
        index = self.built
        positions = np.flatnonzero(allowed)
        few = FEW if whole(index) is None else FEW_WHOLE
        if len(positions) <= k or len(positions) ** 2 <= few * len(allowed):
            return self._search_among(queries, k, positions)
        if len(positions) == len(allowed):
            scores, found = _hits(index.search(queries, k))
        else:
            scores, found = _hits(restricted(index, queries, k, allowed))

        short = (found < 0).any(axis=1)
        if short.any():
            scores[short], found[short] = self._search_among(queries[short], k, positions)
        return scores, found

    def _search_among(self, queries: np.ndarray, k: int, positions: np.ndarray) -> Hits:
        """Compare queries with each vector at int64 (m,) positions, m at least k."""
        vectors = whole(self.built)
        if vectors is None or k == 0 or len(queries) >= SEVERAL:
            return search_in_pieces(self.vectors, positions, queries, k)
        return _hits(among(vectors, queries, k, positions))

    def _changeable(self) -> faiss.Index:
        if self._mapped:
            self._index = in_memory(self.built)
            self._mapped = False
        return self.built

    @contextmanager
    def _filling(self) -> Iterator[None]:
        try:
            with self._threads():
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


def _hits(found: Found) -> Hits:
    distances_l2sq, positions = found
    cosines = 1 - distances_l2sq / 2
    np.minimum(cosines, 1, out=cosines)  # np.clip takes as long as a short walk through a graph
    np.maximum(cosines, -1, out=cosines)
    cosines[positions < 0] = -1
    return cosines, positions
