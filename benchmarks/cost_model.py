"""What a catalog of a given size needs: hours to embed and to index, memory, disk, machines,
searches per second.

    python -m benchmarks.cost_model [--photos-per-s 121] [--dim 2048] [--memory-gib 256] [--cores
    16]

Everything follows from a few measured figures, in KINDS with their source, and from how a kind of
index grows. Give your own photos per second and core (`python -m benchmarks.embedding`), and look
at the ratios.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
# of a machine's memory, for the index: the rest is the items', the network's, the system's
USABLE = 0.75
MEASURED_AT = 39_000  # embeddings of 2,048 dimensions
# docs/benchmarks-search.md: 1,296 bytes a vector of 256 dimensions in HNSW32, less 1,024
LINK_BYTES = 272
ID_BYTES = 8
READS, READ_MS = (
    30,
    0.1,
)  # vectors compared again that lie on the disk: docs/benchmarks-search.md, 3.0 ms more for 30


@dataclass(frozen=True)
class Kind:
    """A kind of index.

    Attributes:
        spec: in FAISS's words.
        memory: bytes an item in memory, of an embedding's dimensions.
        mapped: bytes an item that are read from the disk when they are needed, likewise.
        build_s: seconds to build it of MEASURED_AT embeddings, with one core, in
            docs/benchmarks-search.md, as is `ms`.
        ms: a single search among them with one core.
        growth: how many times as long a search takes among n items, of n / MEASURED_AT.
    """

    spec: str
    memory: Callable[[int], float]
    mapped: Callable[[int], float]
    build_s: float
    ms: float
    growth: Callable[[float], float]


def linear(ratio: float) -> float:
    """Every item is looked at."""
    return ratio


def root(ratio: float) -> float:
    """An inverted file whose lists grow with the root of the catalog's size, as many of which are
    searched.
    """
    return math.sqrt(ratio)


def logarithm(ratio: float) -> float:
    """A walk through a graph (Malkov and Yashunin 2018)."""
    return math.log(ratio * MEASURED_AT) / math.log(MEASURED_AT)


KINDS = [
    Kind("exact", lambda dim: 4 * dim, lambda dim: 0, 17, 0.97, linear),
    Kind("HNSW32", lambda dim: 4 * dim + LINK_BYTES, lambda dim: 0, 53, 0.53, logarithm),
    Kind(
        "PCA128,HNSW32,RFlat, mapped",
        lambda dim: 512 + LINK_BYTES,
        lambda dim: 4 * dim,
        68,
        0.27,
        logarithm,
    ),
    Kind(
        "IVF,PQ256x4fs,RFlat, mapped",
        lambda dim: 128 + ID_BYTES,
        lambda dim: 4 * dim,
        101,
        0.85,
        root,
    ),
]


@dataclass(frozen=True)
class Cost:
    """What a catalog takes with a kind of index.

    Attributes:
        memory_bytes: of all machines.
        disk_bytes: of the index's files.
        machines: that hold it in memory.
        build_hours: of one core; each item is put in its place as an item is found.
        ms: a search with one core, on every machine side by side.
        searches_per_s: for each core of all machines: every search takes one on each.
    """

    memory_bytes: float
    disk_bytes: float
    machines: int
    build_hours: float
    ms: float
    searches_per_s: float


def cost(kind: Kind, n: int, dim: int, memory_gib: float) -> Cost:
    """Return what n items of `dim` dimensions take on machines with so much memory.

    Times are those of 2,048 dimensions: fewer save memory, but a walk through a graph waits for it
    anyway. What is mapped and doesn't fit beside the rest is read from the disk, which waits as if
    a core were busy.
    """
    memory, mapped, usable = n * kind.memory(dim), n * kind.mapped(dim), USABLE * memory_gib * 2**30
    machines = math.ceil(memory / usable)
    ratio = n / machines / MEASURED_AT
    ms = kind.ms * kind.growth(ratio) + (
        READS * READ_MS if memory + mapped > machines * usable else 0
    )
    added = 1.0 if kind.growth is linear else kind.growth(ratio)
    build_hours = kind.build_s * n / MEASURED_AT * added / 3600
    return Cost(memory, memory + mapped, machines, build_hours, ms, 1000 / ms / machines)


def embed_hours(n: int, photos_per_s: float, cores: int) -> float:
    """Return how long embedding n photos takes with so many cores, at so many photos a second and
    core.
    """
    return n / photos_per_s / cores / 3600


def short(value: float) -> str:
    """Return a number with two digits that count: these are orders of magnitude."""
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def main() -> None:
    """Print the tables, as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos-per-s", type=float, default=121, help="and core (242 with two were measured)"
    )
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--memory-gib", type=float, default=256, help="of a machine")
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    args = parser.parse_args()
    print(f"| photos | hours to embed, {args.cores} cores |\n| --- | --- |")
    for n in SIZES:
        print(f"| {n:,} | {short(embed_hours(n, args.photos_per_s, args.cores))} |")
    head = (
        "photos",
        "index",
        "memory, GB",
        "disk, GB",
        "machines",
        "hours to build, 1 core",
        "ms a search",
    )
    print(
        "",
        f"| {' | '.join(head)} | searches/s and core |",
        "| --- " * (len(head) + 1) + "|",
        sep="\n",
    )
    for n in SIZES:
        for kind in KINDS:
            one = cost(kind, n, args.dim, args.memory_gib)
            sizes = (
                f"{short(one.memory_bytes / 1e9)} | {short(one.disk_bytes / 1e9)} | {one.machines}"
            )
            times = " | ".join(map(short, (one.build_hours, one.ms, one.searches_per_s)))
            print(f"| {n:,} | {kind.spec} | {sizes} | {times} |")


if __name__ == "__main__":
    main()
