import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from vsearch.indexes.base import Index, as_unit_vectors
from vsearch.indexes.exhaustive import Hits, search_in_pieces
from vsearch.indexes.faiss_files import deserialized, read
from vsearch.indexes.faiss_filtered import Found, among, restricted, whole
from vsearch.indexes.faiss_kinds import (
    check_enough,
    check_l2,
    explained,
    inverted,
    prepare_bytes,
    set_k_means,
    train_components,
)
from vsearch.indexes.faiss_removal import remove

FILE = "index.faiss"
SETTINGS = "index.json"
OLD_LISTS = "index.ivfdata"  # of earlier versions, merged on the disk
# Each of m allowed ones of n is compared up to m * m = FEW * n, or FEW_WHOLE * n where vectors are
# kept whole: about where HNSW32 takes as long (2,048-d)
FEW = 200
FEW_WHOLE = 1000
SEVERAL = 8  # queries from which a matrix product makes up for gathering the vectors
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
            ...; efConstruction (FAISS's default: 40) applies when vectors are added to a graph.
        train_sample: number of random vectors to train on; None: all, of which k-means draws up to
            64 for an inverted list, and 256 for another centroid.
        seed: of that sample and of k-means.
        threads: None: OpenMP's default.
        mmap: leave flat vectors and inverted lists of an opened index on disk until a search reads
            them. Adding and removing load the whole index into memory.
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
            raise ValueError(f"threads: {threads} isn't a number from 1 to {MOST_THREADS:,}.")
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
        """Whether every vector is compared in full."""
        return self.factory == "Flat"

    @property
    def built(self) -> faiss.Index:
        """FAISS's own index; a ValueError if there is none yet."""
        if self._index is None:
            raise ValueError("the index is empty: build it first")
        return self._index

    def check(self, n: int, dim: int) -> None:
        """Refuse what FAISS doesn't know, and too few vectors for the centroids."""
        self._made(n, dim)

    def build(self, embeddings: np.ndarray) -> None:
        """Train if the kind needs it, and index the vectors."""
        vectors = as_unit_vectors(embeddings)
        self.train(vectors)
        self.add(vectors)

    def train(self, embeddings: np.ndarray) -> None:
        """Train on float32 (m, dim) unit vectors without adding them."""
        vectors = as_unit_vectors(embeddings)
        with self._filling():
            index = self._made(*vectors.shape)
            if not index.is_trained:
                sample = self.sample(len(vectors))
                trained_on = vectors[sample] if len(sample) < len(vectors) else vectors
                train_components(index, trained_on)
                index.train(trained_on)
        self._index = index
        self._mapped = False

    def sample(self, n: int) -> np.ndarray:
        """Return the rising positions, int (m,), of n vectors that `build` trains on."""
        drawn = np.random.default_rng(self.seed).permutation(n)[: self.train_sample]
        return np.sort(drawn)

    def join(self, shards: Sequence[Path]) -> None:
        """Hold the contents of saved shards, in order; all were filled from one trained index.

        They are read one by one, so that only the result and one shard must fit in memory.
        """
        with explained(f"{self.factory}: shards can't be joined"):
            index = read(shards[0] / FILE)
            for folder in shards[1:]:
                # lists keep positions, which count from 0 in each shard
                shift = 0 if inverted(index) is None else index.ntotal
                index.merge_from(read(folder / FILE), shift)
        self._index = index
        self._mapped = False
        self.set(**self.search_parameters)

    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors without training again."""
        with self._filling():
            self._changeable().add(as_unit_vectors(embeddings))

    def remove(self, positions: np.ndarray) -> None:
        """Remove vectors, or refuse if FAISS can't remove from this kind."""
        with self.limited_threads():
            remove(self._changeable(), positions)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`.

        If few are `allowed`, each of them is compared. Otherwise `faiss_filtered.restricted`
        searches, and where it may miss some, each allowed one is compared after all.
        """
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        with self.limited_threads():
            if allowed is None:
                return _hits(self.built.search(asked, max(1, min(k, len(self)))))
            return self._search_allowed(asked, k, allowed)

    def set(self, **parameters: float) -> None:
        """Change search parameters, by FAISS's names."""
        self._set(self.built, parameters)
        self.search_parameters = {**self.search_parameters, **parameters}

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("factory", "train_sample", "seed", "threads", "mmap")
        return {name: getattr(self, name) for name in names} | {"search": self.search_parameters}

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors, decoded if the kind keeps codes; some kinds can't return them."""
        with explained(f"{self.factory} can't return its vectors"):
            lists = inverted(self.built)
            if lists is not None:
                lists.make_direct_map()  # the first time
            return self.built.reconstruct_batch(np.asarray(positions, dtype=np.int64))

    def save(self, folder: Path) -> list[str]:
        """Write index.faiss of plain FAISS, and index.json."""
        # on a full disk, FAISS's own writing may report success; Python's can't
        with (folder / FILE).open("wb") as file:
            faiss.write_index(self.built, faiss.PyCallbackIOWriter(file.write))
        (folder / SETTINGS).write_text(json.dumps(self.settings()))
        return [FILE, SETTINGS]

    @classmethod
    def open(cls, folder: Path, mmap: bool | None = None) -> Self:
        """See `Index`; `mmap` overrides the saved setting."""
        if (folder / OLD_LISTS).exists():
            raise ValueError(
                f"{OLD_LISTS}: lists in a separate file are no longer read. Make the index again "
                "with `shards`."
            )
        with explained("not a FAISS index"):
            opened = cls(**json.loads((folder / SETTINGS).read_text()))
            opened._mapped = opened.mmap if mmap is None else mmap
            opened._index = read(folder / FILE, opened._mapped)
        opened.set(**opened.search_parameters)
        return opened

    def __len__(self) -> int:
        return 0 if self._index is None else self._index.ntotal

    def describe(self) -> dict[str, Any]:
        """See `Index`."""
        return {**super().describe(), "factory": self.factory, "search": self.search_parameters}

    def _made(self, n: int, dim: int) -> faiss.Index:
        """Return a new index for n vectors, or refuse as `check` does."""
        with explained(f"factory: FAISS can't make {self.factory!r} for {dim} dimensions"):
            index = faiss.index_factory(dim, self.factory, faiss.METRIC_L2)
        check_l2(index, self.factory)
        prepare_bytes(index, self.factory)
        set_k_means(index, self.seed)
        self._set(index, self.search_parameters)
        check_enough(index, self.factory, n, self.train_sample)
        return index

    def _set(self, index: faiss.Index, parameters: dict[str, float]) -> None:
        for name, value in parameters.items():
            with explained(f"search: {self.factory} doesn't take {name!r}"):
                faiss.ParameterSpace().set_index_parameter(index, name, value)

    def _search_allowed(self, queries: np.ndarray, k: int, allowed: np.ndarray) -> Hits:
        index = self.built
        positions = np.flatnonzero(allowed)
        k = min(k, len(positions))
        few = FEW if whole(index) is None else FEW_WHOLE
        if k in (0, len(positions)) or len(positions) ** 2 <= few * len(allowed):
            return self._search_among(queries, k, positions)

        if len(positions) == len(allowed):
            hits = index.search(queries, k)
        else:
            hits = restricted(index, queries, k, allowed)
        scores, found = _hits(hits)
        short = found[:, -1] < 0
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
        """Return the index in memory: a change of a mapped one would end the process."""
        if self._mapped:
            self._index = deserialized(faiss.serialize_index(self.built))
            self._mapped = False
        return self.built

    @contextmanager
    def _filling(self) -> Iterator[None]:
        with explained(f"factory: FAISS can't fill {self.factory}"), self.limited_threads():
            yield

    @contextmanager
    def limited_threads(self) -> Iterator[None]:
        """Limit FAISS's threads in this thread to the setting."""
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(self.threads or before)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(before)


def cosines(distances_l2sq: np.ndarray) -> np.ndarray:
    """Return the cosines of unit vectors, from their squared L2 distances."""
    return np.clip(1 - distances_l2sq / 2, -1, 1)


def _hits(found: Found) -> Hits:
    distances_l2sq, positions = found
    scores = cosines(distances_l2sq)
    scores[positions < 0] = -1
    return scores, positions
