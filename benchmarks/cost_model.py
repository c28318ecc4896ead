"""What a catalog of a size takes: hours to embed, memory and searches a second by kind of index, machines.

    python -m benchmarks.cost_model [--photos-per-s 121] [--dim 2048] [--memory-gib 256] [--cores 16]

Everything follows from a few measured figures, MEASURED below with where each comes from, and from how a kind of index
grows. Give your own photos a second and core (`python -m benchmarks.embedding`), and look at the ratios.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
USABLE = 0.75  # of a machine's memory, for the index: the rest is the items, the network, the system
MEASURED_AT, MEASURED_DIM = 39_000, 2048  # the embeddings of docs/search.md
LINK_BYTES = 272  # of HNSW32, a vector: docs/search.md, 1,296 bytes at 256 dimensions less 1,024
ID_BYTES = 8


@dataclass(frozen=True)
class Kind:
    """A kind of index.

    Attributes:
        spec: in FAISS's words.
        memory: bytes an item in memory, of an embedding's dimensions.
        disk: bytes an item that may stay on the disk, likewise.
        ms: a single search with one thread among MEASURED_AT items of MEASURED_DIM dimensions (docs/search.md).
        growth: how many times as long a search takes among n items, of n / MEASURED_AT.
        recall: recall@10 as it was measured there.
    """

    spec: str
    memory: Callable[[int], float]
    disk: Callable[[int], float]
    ms: float
    growth: Callable[[float], float]
    recall: float


def linear(ratio: float) -> float:
    """Every item is looked at."""
    return ratio


def root(ratio: float) -> float:
    """An inverted file whose lists grow with the root of the catalog's size, as many of which are searched."""
    return math.sqrt(ratio)


def logarithm(ratio: float) -> float:
    """A walk through a graph (Malkov and Yashunin 2018)."""
    return math.log(ratio * MEASURED_AT) / math.log(MEASURED_AT)


MEASURED = [
    Kind("exact", lambda dim: 4 * dim, lambda dim: 0, 2.9, linear, 1.0),
    Kind("HNSW32", lambda dim: 4 * dim + LINK_BYTES, lambda dim: 0, 0.53, logarithm, 0.993),
    Kind("PCA128,HNSW32,RFlat, mapped", lambda dim: 512 + LINK_BYTES, lambda dim: 4 * dim, 0.27, logarithm, 0.992),
    Kind("IVF,PQ256x4fs,RFlat, mapped", lambda dim: 128 + ID_BYTES, lambda dim: 4 * dim, 0.85, root, 0.992),
    Kind("IVF,PQ64", lambda dim: 64 + ID_BYTES, lambda dim: 0, 0.64, root, 0.632),
]


@dataclass(frozen=True)
class Cost:
    """What a catalog takes with a kind of index: bytes in memory and on the disk, machines, searches/s and core."""

    memory_bytes: float
    disk_bytes: float
    machines: int
    searches_per_s: float


def cost(kind: Kind, n: int, dim: int, memory_gib: float) -> Cost:
    """Return what n items of `dim` dimensions take on machines with so much memory.

    Shards on several machines are searched side by side, so that a search takes what the shard of one machine takes.
    Searches are those of MEASURED_DIM dimensions: fewer save memory, but a walk through a graph waits for it anyway.
    """
    memory = n * kind.memory(dim)
    machines = math.ceil(memory / (USABLE * memory_gib * 2**30))
    ms = kind.ms * kind.growth(n / machines / MEASURED_AT)
    return Cost(memory, n * kind.disk(dim), machines, 1000 / ms)


def embed_hours(n: int, photos_per_s: float, cores: int) -> float:
    """Return how long embedding n photos takes with so many cores, at so many photos a second and core."""
    return n / photos_per_s / cores / 3600


def main() -> None:
    """Print the tables, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos-per-s", type=float, default=121, help="and core (docs/speed.md: 242 with two)")
    parser.add_argument("--dim", type=int, default=MEASURED_DIM)
    parser.add_argument("--memory-gib", type=float, default=256, help="of a machine")
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    args = parser.parse_args()
    print(f"| photos | hours to embed, {args.cores} cores |\n| --- | --- |")
    for n in SIZES:
        print(f"| {n:,} | {embed_hours(n, args.photos_per_s, args.cores):,.1f} |")
    print("\n| photos | index | recall@10 at 39,000 | memory, GB | disk, GB | machines | searches/s and core |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n in SIZES:
        for kind in MEASURED:
            one = cost(kind, n, args.dim, args.memory_gib)
            sizes = f"{one.memory_bytes / 1e9:,.1f} | {one.disk_bytes / 1e9:,.0f}"
            print(f"| {n:,} | {kind.spec} | {kind.recall} | {sizes} | {one.machines} | {one.searches_per_s:,.1f} |")


if __name__ == "__main__":
    main()
