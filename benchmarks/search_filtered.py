"""Search with filters that allow more or fewer items: recall@10 and milliseconds of single
searches, one thread.

    python -m benchmarks.search_filtered EMBEDDINGS.parquet [--factory HNSW32] [--search
    efSearch=64,...]

`python -m vsearch predict` writes EMBEDDINGS.parquet; 500 rows are held out as queries. For each
share, one filter marks random items, and one marks whole labels, drawn until they have about that
share: these lie together, and most queries come from elsewhere, which is the harder case. The first
row has no filter.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.search import K, load, recall
from vsearch.indexes.faiss import FaissIndex

SHARES, QUERIES, SINGLES = (0.01, 0.05, 0.2, 0.5), 500, 200


def labels_of(path: Path) -> np.ndarray:
    """Return the labels of the vectors that `load` indexes, in its order."""
    labels = pq.read_table(path, columns=["label"])["label"].to_numpy()
    return labels[np.sort(np.random.default_rng(0).permutation(len(labels))[QUERIES:])]


def by_labels(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of whole labels, drawn one by one, that leaves out those that would bring it
    above the share.
    """
    mask = np.zeros(len(labels), dtype=bool)
    for label in rng.permutation(np.unique(labels)):
        more = mask | (labels == label)
        mask = more if more.mean() <= 1.05 * share else mask
    return mask


def row(
    name: str, index: FaissIndex, queries: np.ndarray, exact: np.ndarray, allowed: np.ndarray | None
) -> str:
    """Search one by one; return a line of the table."""
    wishes = () if allowed is None else (allowed,)
    found, times = [], []
    for query in queries[:SINGLES]:
        start = time.perf_counter()
        found.append(index.search(query[None], K, *wishes)[1][0])
        times.append(1000 * (time.perf_counter() - start))
    scores = exact if allowed is None else np.where(allowed, exact, -2)
    share = 1 if allowed is None else allowed.mean()
    reached = recall(np.array(found), scores[:SINGLES])
    return (
        f"| {name} | {share:.3f} | {reached:.3f} | {np.median(times):.2f} | {np.mean(times):.2f} |"
    )


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--factory", default="HNSW32")
    parser.add_argument("--search", default="efSearch=64", help="parameters by FAISS's own names")
    args = parser.parse_args()
    gallery, queries = load(args.embeddings, QUERIES)
    labels, rng = labels_of(args.embeddings), np.random.default_rng(1)
    pairs = (pair.split("=") for pair in args.search.split(",") if pair)
    index = FaissIndex(args.factory, {name: float(value) for name, value in pairs})
    index.build(gallery)
    index.threads = 1
    exact = queries @ gallery.T
    print(f"{index.spec}, {len(gallery):,} x {gallery.shape[1]}\n")
    print("| filter | share | recall@10 | median ms | mean ms |\n| --- | --- | --- | --- | --- |")
    print(row("none", index, queries, exact, None))
    for share in SHARES:
        print(row("random", index, queries, exact, rng.random(len(gallery)) < share))
        print(row("labels", index, queries, exact, by_labels(labels, share, rng)))


if __name__ == "__main__":
    main()
