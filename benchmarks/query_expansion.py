"""Benefit and cost of `--expand`: label metrics, and milliseconds of single searches.

    python -m benchmarks.query_expansion EMBEDDINGS.parquet SPLIT.csv [--part val]
        [--gallery train] [--hits 1,3,10]

`python -m vsearch predict` writes EMBEDDINGS.parquet; SPLIT.csv is in the run's folder.
Photos of one part search another with IndexFlatL2, or each other if both are the same: a gallery
that was not trained on. Choose a number of hits on val; measure once on test. 0 hits: no expansion.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.run_embeddings import read
from vsearch.evaluation.expansion import expand_queries, search_ms
from vsearch.evaluation.metrics import means
from vsearch.evaluation.scoring import Embedded, exact_index, score
from vsearch.indexes.faiss import FaissIndex

SINGLES = 100
SHOWN = ("precision_at_1", "precision_at_10", "map_at_r")


def row(index: FaissIndex, queries: Embedded, gallery: Embedded, n_hits: int) -> str:
    """Return a line of the table."""
    times = [search_ms(index, query, n_hits) for query in queries.embeddings[:SINGLES]]
    asked = expand_queries(index, queries, gallery, n_hits) if n_hits else queries
    scored = score(index, asked, gallery)
    found = means(scored.model, scored.labels)
    values = [f"{found[metric][mean]:.3f}" for metric in SHOWN for mean in ("micro", "macro")]
    return f"| {n_hits} | {' | '.join(values)} | {np.median(times):.2f} |"


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("--part", default="val")
    parser.add_argument("--gallery", default="train")
    parser.add_argument("--hits", default="1,3,5,10,20")
    args = parser.parse_args()
    found = read(args.embeddings, args.split)
    queries = found.part(args.part)
    gallery = found.part(args.gallery)
    index = exact_index(gallery)
    index.threads = 1
    print(f"{len(queries):,} {args.part} photos search {len(gallery):,} of {args.gallery}\n")
    names = [f"{metric}{mean}" for metric in SHOWN for mean in ("", ", macro")]
    print(f"| hits | {' | '.join(names)} | ms |\n|{' --- |' * (len(names) + 2)}")
    for n_hits in (0, *(int(n) for n in args.hits.split(","))):
        print(row(index, queries, gallery, n_hits))


if __name__ == "__main__":
    main()
