"""The search libraries that `benchmarks.search` compares with, each in its own API, one thread,
unit vectors.

A peer is a function of (gallery float32 (n, dim), folder, threads) that builds and returns its
variants: name -> function of (queries float32 (q, dim), k) that returns positions (q, k). It saves
itself in the folder, to measure its bytes. The table leaves out peers that aren't installed.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Search = Callable[[np.ndarray, int], np.ndarray]
Peer = Callable[[np.ndarray, Path, int], dict[str, Search]]
EF = (16, 24, 32, 48, 64, 96, 128, 256)


def hnswlib(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """hnswlib: M 16, ef_construction 200."""
    import hnswlib

    index = hnswlib.Index("l2", gallery.shape[1])
    index.init_index(len(gallery), M=16, ef_construction=200)
    index.add_items(gallery, num_threads=-1)
    index.save_index(str(folder / "index"))

    def search(queries: np.ndarray, k: int, ef: int) -> np.ndarray:
        index.set_ef(max(ef, k))
        return index.knn_query(queries, k, num_threads=threads)[0]

    return {f"ef={ef}": partial(search, ef=ef) for ef in EF}


def usearch(
    gallery: np.ndarray, folder: Path, threads: int, dtype: str = "f32"
) -> dict[str, Search]:
    """USearch: connectivity 16, expansion_add 128, float32 or 8 bits."""
    from usearch.index import Index

    index = Index(
        ndim=gallery.shape[1], metric="cos", dtype=dtype, connectivity=16, expansion_add=128
    )
    index.add(np.arange(len(gallery)), gallery)
    index.save(str(folder / "index"))

    def search(queries: np.ndarray, k: int, ef: int) -> np.ndarray:
        index.expansion_search = ef
        return np.atleast_2d(index.search(queries, k, threads=threads).keys).astype(np.int64)

    return {f"{dtype}, expansion={ef}": partial(search, ef=ef) for ef in EF}


def usearch_i8(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """USearch with 8-bit vectors."""
    return usearch(gallery, folder, threads, "i8")


def scann(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """ScaNN: its guide's tree + anisotropic hashing + exact reordering."""
    import scann

    leaves = int(np.sqrt(len(gallery)))
    builder = scann.scann_ops_pybind.builder(gallery, 10, "dot_product")
    builder = builder.tree(
        leaves, max(1, leaves // 10), training_sample_size=min(len(gallery), 250_000)
    )
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
    index.serialize(str(folder))

    def search(queries: np.ndarray, k: int, probes: int, reorder: int) -> np.ndarray:
        asked = {
            "final_num_neighbors": k,
            "pre_reorder_num_neighbors": reorder,
            "leaves_to_search": probes,
        }
        if len(queries) == 1:
            return index.search(queries[0], **asked)[0][None].astype(np.int64)
        return index.search_batched(queries, **asked)[0].astype(np.int64)

    settings = [
        (probes, reorder)
        for probes in (leaves // 20, leaves // 5, leaves // 2, leaves)
        for reorder in (100, 300)
    ]
    return {
        f"leaves={p}/{leaves}, reorder={r}": partial(search, probes=max(1, p), reorder=r)
        for p, r in settings
    }


def qdrant_edge(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """Qdrant Edge: HNSW (m 16, ef_construct 200) over 8-bit codes in memory, rescored with the
    originals.
    """
    import qdrant_edge as q

    hnsw = q.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=1)
    codes = q.ScalarQuantizationConfig(type=q.ScalarType.Int8, always_ram=True)
    vectors = q.EdgeVectorParams(
        gallery.shape[1], q.Distance.Dot, hnsw_config=hnsw, quantization_config=codes
    )
    optimizers = q.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1)
    (folder / "qdrant").mkdir()
    config = q.EdgeConfig(vectors=vectors, optimizers=optimizers, max_search_threads=threads)
    shard = q.EdgeShard.create(str(folder / "qdrant"), config)
    for start in range(0, len(gallery), 1000):
        points = [
            q.Point(start + i, row.tolist()) for i, row in enumerate(gallery[start : start + 1000])
        ]
        shard.update(q.UpdateOperation.upsert_points(points))
    shard.optimize()

    def search(queries: np.ndarray, k: int, ef: int) -> np.ndarray:
        params = q.SearchParams(
            hnsw_ef=ef, quantization=q.QuantizationSearchParams(rescore=True, oversampling=2.0)
        )
        asked = [
            q.SearchRequest(q.Query.Nearest(row.tolist()), k, params=params) for row in queries
        ]
        return np.array([[point.id for point in shard.search(request)] for request in asked])

    return {f"8 bits, ef={ef}": partial(search, ef=ef) for ef in EF}


def annoy(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """Annoy: 50 trees."""
    from annoy import AnnoyIndex

    index = AnnoyIndex(gallery.shape[1], "angular")
    index.set_seed(0)
    for position, row in enumerate(gallery):
        index.add_item(position, row)
    index.build(50)
    index.save(str(folder / "index"))

    def search(queries: np.ndarray, k: int, nodes: int) -> np.ndarray:
        found = [index.get_nns_by_vector(row, k, search_k=nodes) for row in queries]
        return np.array([row + [-1] * (k - len(row)) for row in found])

    return {
        f"search_k={nodes}": partial(search, nodes=nodes)
        for nodes in (1_000, 5_000, 20_000, 80_000)
    }


def lancedb(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """LanceDB: IVF + HNSW over 8-bit codes, refined with the originals. Its own threads can't be
    set by call.
    """
    import lancedb
    import pyarrow as pa

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(gallery.ravel()), gallery.shape[1])
    table = lancedb.connect(str(folder / "lance")).create_table(
        "items", pa.table({"position": np.arange(len(gallery)), "vector": vectors})
    )
    table.create_index(
        metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=1, m=16, ef_construction=200
    )

    def search(queries: np.ndarray, k: int, ef: int) -> np.ndarray:
        def one(row: np.ndarray) -> list[int]:
            query: Any = (
                table.search(row).metric("cosine").nprobes(1).ef(ef).refine_factor(3).limit(k)
            )
            return query.select(["position", "_distance"]).to_arrow()["position"].to_pylist()

        return np.array([one(row) for row in queries])

    return {f"8 bits, ef={ef}, refine=3": partial(search, ef=ef) for ef in EF[1:]}


def chroma(gallery: np.ndarray, folder: Path, threads: int) -> dict[str, Search]:
    """Chroma, in the process: HNSW, max_neighbors 16, ef_construction 200, as its collection is
    queried.
    """
    import chromadb

    client = chromadb.EphemeralClient()
    space = {
        "space": "l2",
        "max_neighbors": 16,
        "ef_construction": 200,
        "ef_search": 64,
        "num_threads": threads,
    }
    collection = client.create_collection("items", configuration={"hnsw": space})
    for start in range(0, len(gallery), 5000):
        part = gallery[start : start + 5000]
        collection.add(ids=[str(start + i) for i in range(len(part))], embeddings=part)

    def search(queries: np.ndarray, k: int) -> np.ndarray:
        found = collection.query(query_embeddings=queries, n_results=k, include=[])["ids"]
        return np.array([[int(one) for one in row] for row in found])

    return {"ef=64": search}


PEERS: dict[str, Peer] = {
    "hnswlib": hnswlib,
    "usearch": usearch,
    "usearch 8 bits": usearch_i8,
    "scann": scann,
    "qdrant-edge": qdrant_edge,
    "annoy": annoy,
    "lancedb": lancedb,
    "chroma": chroma,
}
