"""Time vsearch's indexes against IndexFlatL2 and other search libraries: same vectors, one run, in
turn.

    python -m benchmarks.search EMBEDDINGS.parquet [--queries 500] [--threads 1] [--rounds 5]
    [--only hnsw,exact] python -m benchmarks.search --synthetic 1000000 [--dim 2048]

`python -m vsearch predict` writes EMBEDDINGS.parquet. Queries are drawn from it and held out of the
index. Peers that aren't installed are left out: `uv run --with hnswlib --with usearch
--with scann --with annoy --with lancedb --with chromadb --with qdrant-edge-py python -m
benchmarks.search ...` has them all.

Synthetic vectors: 2,000 cluster centres and the spread around them have coordinates whose standard
deviation falls as 1 / sqrt(1 + i / 8), turned by a random rotation and normalised; about as hard as
real ones are.

For each variant: recall@10 (hits whose exact score reaches the exact tenth), the median over rounds
of the median milliseconds of a single search, and of a batch of all queries, per query; times are
ratios to IndexFlatL2's of the same round. Bytes per vector are those of the files.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Search = Callable[[np.ndarray, int], np.ndarray]
K = 10
SINGLES = 40  # a round: enough for a median, few enough that all variants meet the same noise
RECALLS = (0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Variant:
    """One way to search: an engine's name, its settings, how to ask it, what it takes on the disk
    and to build.
    """

    engine: str
    settings: str
    search: Search
    build_s: float
    bytes_per_vector: float | None


def load(path: Path, n_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gallery and held-out queries, float32 unit vectors, from `predict`'s table."""
    import pyarrow.parquet as pq

    column = pq.read_table(path, columns=["embedding"])["embedding"].combine_chunks()
    vectors = column.flatten().to_numpy().reshape(len(column), -1)
    order = np.random.default_rng(0).permutation(len(vectors))
    return vectors[np.sort(order[n_queries:])], vectors[order[:n_queries]]


def synthetic(n: int, dim: int, n_queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gallery and queries, float32 unit vectors, as the module's text says."""
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(1 + np.arange(dim) / 8)).astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    centres = rng.standard_normal((2_000, dim), dtype=np.float32)
    vectors = np.empty((n + n_queries, dim), dtype=np.float32)
    for start in range(0, len(vectors), 20_000):
        part = vectors[start : start + 20_000]
        part[:] = centres[rng.integers(len(centres), size=len(part))]
        part += 0.7 * rng.standard_normal(part.shape, dtype=np.float32)
        part[:] = (part * scale) @ rotation
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors[:n], vectors[n:]


def ours(
    gallery: np.ndarray, threads: int, wanted: Callable[[str], bool], build_threads: int
) -> Iterator[Variant]:
    """Build vsearch's indexes, each once, and yield a variant for each of its settings for
    searching.
    """
    from vsearch.indexes.auto import AutoIndex
    from vsearch.indexes.base import Index
    from vsearch.indexes.exact import ExactIndex
    from vsearch.indexes.faiss import FaissIndex
    from vsearch.indexes.trial import stored_bytes

    lists = round(4 * len(gallery) ** 0.5 / 10) * 10
    walks: list[dict[str, float]] = [
        {"efSearch": ef} for ef in (16, 24, 32, 48, 64, 96, 128, 256, 512)
    ]
    refined = [{**walk, "k_factor_rf": factor} for walk in walks for factor in (3, 4, 6, 10)]
    scans: list[dict[str, float]] = [{"k_factor_rf": factor} for factor in (2, 4, 10, 30, 100)]
    refined_lists: list[dict[str, float]] = [
        {"nprobe": probes, "k_factor_rf": factor}
        for probes in (2, 3, 4, 6, 10, 20, 50)
        for factor in (3, 4, 6)
    ]
    factories: dict[str, list[dict[str, float]]] = {
        "Flat": [{}],
        "HNSW32": walks,
        "HNSW16": walks,
        "HNSW16_SQfp16": walks,
        "HNSW16_SQ8,RFlat": refined,
        "PCA128,HNSW32,RFlat": refined,
        "PCA128,HNSW16,RFlat": refined,
        "PCA128,HNSW16_SQ8,RFlat": refined,
        "PQ256x4fs,RFlat": scans,
        f"IVF{lists},Flat": [{"nprobe": probes} for probes in (1, 4, 10, 50)],
        f"PCA128,IVF{lists},SQ8,RFlat": refined_lists,
        f"PCA128,IVF{lists},SQ8_direct,RFlat": refined_lists,
        f"IVF{lists},PQ64": [{"nprobe": 10}],
        f"OPQ64_256,IVF{lists},PQ64": [{"nprobe": 10}],
        "SQ8": [{}],
        "PCA256,SQ8": [{}],
        "PCA256,SQ8,RFlat": scans[:2],
    }
    engines: list[tuple[str, Callable[[], Index], list[dict[str, float]]]] = [
        ("vsearch exact", lambda: ExactIndex(threads=threads), [{}]),
        ("vsearch auto", lambda: AutoIndex(threads=build_threads), [{}]),
    ]
    for factory, searches in factories.items():
        usual = partial(FaissIndex, factory, threads=build_threads)
        engines.append((f"vsearch {factory}", usual, searches))
        if "HNSW" in factory:
            thorough = partial(usual, {"efConstruction": 200})
            engines.append((f"vsearch {factory}, thorough", thorough, searches))
    for name, make, searches in engines:
        if not wanted(name):
            continue
        start = time.perf_counter()
        index = make()
        index.build(gallery)
        build_s = time.perf_counter() - start
        searched = index.chosen if isinstance(index, AutoIndex) else index
        if isinstance(searched, FaissIndex):
            searched.threads = threads
        size = stored_bytes(index) / len(gallery)
        for settings in searches:
            text = ", ".join(f"{key}={value:g}" for key, value in settings.items())
            text = text or index.spec.removeprefix("auto: ")
            yield Variant(name, text, _asking(index, settings), build_s, size)


def _asking(index: Any, settings: dict[str, float]) -> Search:
    def search(queries: np.ndarray, k: int) -> np.ndarray:
        if settings and not settings.items() <= index.search_parameters.items():
            index.set(**settings)
        return index.search(queries, k)[1]

    return search


def peers(
    gallery: np.ndarray, threads: int, folder: Path, wanted: Callable[[str], bool]
) -> Iterator[Variant]:
    """Build each peer that is installed."""
    from benchmarks.search_peers import PEERS

    for name, build in PEERS.items():
        if not wanted(name):
            continue
        own = folder / name
        own.mkdir()
        start = time.perf_counter()
        try:
            found = build(gallery, own, threads)
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        build_s = time.perf_counter() - start
        size = sum(path.stat().st_size for path in own.rglob("*") if path.is_file())
        for settings, search in found.items():
            yield Variant(name, settings, search, build_s, size / len(gallery) or None)


def flat(gallery: np.ndarray) -> Variant:
    """Build FAISS's IndexFlatL2, what everything is compared with."""
    import faiss

    index = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery)
    return Variant(
        "IndexFlatL2",
        "",
        lambda queries, k: index.search(queries, k)[1],
        0.0,
        4.0 * gallery.shape[1],
    )


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of places (q, K) whose exact score reaches the exact K-th; `exact` holds all
    scores (q, n).
    """
    limit = np.partition(exact, -K, axis=1)[:, -K, None]
    reached = np.take_along_axis(exact, np.maximum(found, 0), axis=1) >= limit - 1e-6
    return float((reached & (found >= 0)).mean())


def measure(
    variants: list[Variant], queries: np.ndarray, rounds: int
) -> list[dict[str, list[float]]]:
    """Time all variants in turn, `rounds` times: milliseconds a query, alone and in one batch of
    all.
    """
    times: list[dict[str, list[float]]] = [{"single_ms": [], "batch_ms": []} for _ in variants]
    for number in range(rounds):
        asked = queries[(number * SINGLES + np.arange(SINGLES)) % len(queries)]
        for variant, found in zip(variants, times, strict=True):
            variant.search(queries[:1], K)
            singles = [_ms(variant.search, query[None]) for query in asked]
            found["single_ms"].append(median(singles))
            found["batch_ms"].append(_ms(variant.search, queries) / len(queries))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return times


def _ms(search: Search, queries: np.ndarray) -> float:
    start = time.perf_counter()
    search(queries, K)
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Build, measure, print the table, fastest first, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path, nargs="?")
    parser.add_argument("--synthetic", type=int, help="this many synthetic vectors instead")
    parser.add_argument("--dim", type=int, default=2048, help="of synthetic vectors")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--build-threads",
        type=int,
        default=os.cpu_count(),
        help="for vsearch's FAISS indexes; peers take what they take",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only",
        help="engines whose name matches one of these expressions: 'exact,usearch$,IVF.*Flat'",
    )
    parser.add_argument("--json", type=Path, help="also write the rows here")
    args = parser.parse_args()
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "LANCE_CPU_THREADS",
    ):
        os.environ[name] = str(args.threads)  # before NumPy and the libraries are used
    gallery, queries = (
        synthetic(args.synthetic, args.dim, args.queries)
        if args.synthetic
        else load(args.embeddings, args.queries)
    )

    def wanted(engine: str) -> bool:
        return not args.only or any(re.search(word, engine) for word in args.only.split(","))

    with tempfile.TemporaryDirectory() as folder:
        variants = [flat(gallery)]
        own = ours(gallery, args.threads, wanted, args.build_threads)
        for found in (own, peers(gallery, args.threads, Path(folder), wanted)):
            for variant in found:
                print(f"built: {variant.engine} {variant.settings}", file=sys.stderr, flush=True)
                variants.append(variant)
        exact = queries @ gallery.T
        recalls = [recall(variant.search(queries, K), exact) for variant in variants]
        times = measure(variants, queries, args.rounds)
    rows = _rows(variants, recalls, times)
    print(
        f"{len(gallery):,} x {gallery.shape[1]}, {len(queries)} queries, {args.threads} thread(s), "
        f"{args.rounds} rounds"
    )
    print(_table(rows))
    print("\nThe fastest setting that reaches a recall, as a multiple of IndexFlatL2's speed:")
    print(at_recalls(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2))


def _rows(
    variants: list[Variant], recalls: list[float], times: list[dict[str, list[float]]]
) -> list[dict[str, Any]]:
    base = times[0]
    return [
        {
            "engine": variant.engine,
            "settings": variant.settings,
            "recall_at_10": found,
            **{f"{name}": median(values) for name, values in own.items()},
            **{
                f"{name}_faster": median(b / a for a, b in zip(values, base[name], strict=True))
                for name, values in own.items()
            },
            "build_s": variant.build_s,
            "bytes_per_vector": variant.bytes_per_vector,
        }
        for variant, found, own in zip(variants, recalls, times, strict=True)
    ]


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| engine | settings | recall@10 | single ms | x Flat | batch ms | x Flat | build s | "
        "bytes |",
        "| --- " * 9 + "|",
    ]
    for row in sorted(rows, key=lambda row: float(str(row["single_ms"]))):
        size = row["bytes_per_vector"]
        numbers = [f"{row[name]:.3f}" for name in ("recall_at_10", "single_ms")] + [
            f"{row['single_ms_faster']:.1f}"
        ]
        numbers += [
            f"{row['batch_ms']:.3f}",
            f"{row['batch_ms_faster']:.1f}",
            f"{row['build_s']:.0f}",
        ]
        cells = [row["engine"], row["settings"], *numbers, "" if size is None else f"{size:.0f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def at_recalls(rows: list[dict[str, Any]]) -> str:
    """Return each engine's fastest settings as a table, the engine that is fastest first."""
    ways = [(kind, recall) for kind in ("single", "batch") for recall in RECALLS]
    names = [f"{kind} >= {recall}" for kind, recall in ways]
    lines = []
    for engine in {row["engine"]: None for row in rows}:
        own = [row for row in rows if row["engine"] == engine]
        cells = [engine]
        for kind, wanted in ways:
            reached = [row for row in own if row["recall_at_10"] >= wanted]
            best = max(reached, key=lambda row: row[f"{kind}_ms_faster"], default=None)
            cells.append("" if best is None else _speed(best, kind))
        size = own[0]["bytes_per_vector"]
        cells += [f"{own[0]['build_s']:.0f}", "" if size is None else f"{size:,.0f}"]
        fastest = max(row["single_ms_faster"] * (row["recall_at_10"] >= 0.99) for row in own)
        lines.append((fastest, "| " + " | ".join(cells) + " |"))
    head = "| " + " | ".join(["engine", *names, "build s", "bytes"]) + " |"
    rule = "| --- " * (len(names) + 3) + "|"
    return "\n".join([head, rule, *(line for _, line in sorted(lines, reverse=True))])


def _speed(row: dict[str, Any], kind: str) -> str:
    speed = row[f"{kind}_ms_faster"]
    return f"{speed:.3g}x ({row['recall_at_10']:.4f})"


if __name__ == "__main__":
    main()
