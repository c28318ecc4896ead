"""What users lose with a smaller index: label precision, index recall and bytes.

    python -m benchmarks.search_labels EMBEDDINGS.parquet RUN/split.csv --items fashion/styles.csv
    --axes baseColour [--part test] [--only 'PCA64,SQ8;pca128:SQ8;first64:Flat']

`python -m vsearch predict` writes EMBEDDINGS.parquet; split.csv is the run's. The photos of
`--part` search its train part; right items have their labels and axes. Bytes per item are those of
the files, with projection, codebooks and lists, and of a new process that has opened them. "lost"
is exact search's precision minus the index's, with its 95 % interval, paired by query.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.run_embeddings import read
from vsearch.evaluation.axes import attributes
from vsearch.evaluation.index_quality import SMALL, resident_bytes
from vsearch.evaluation.label_judge import LabelJudge, lost
from vsearch.evaluation.scoring import Embedded, exact_index, top_hits
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.trial import stored_bytes
from vsearch.models.adaptations.base import Adaptation
from vsearch.models.adaptations.lda import LDA
from vsearch.models.adaptations.pca import PCA

# Factory strings, and what they are searched with
STORED = (
    "Flat",
    "PCA256,Flat",
    "PCA384,SQ4",
    "PCA256,SQ8",
    "PCA256,SQ4",
    "PCA128,SQ8",
    "PCA128,SQ4",
    "PCA64,SQ8",
    "PCA32,SQ8",
    "lda:Flat",
    "lda:SQ8",
    "lda:SQ4",
    "pca128:SQ8",
    "pca128:SQ4",
    "pca160:Flat",
    "pca160:SQ4",
    "pca256:Flat",
    "pca256:SQ4",
    "IVF710,PQ64 nprobe=10",
)


class First(Adaptation):
    """The first values of an embedding, which MatryoshkaLoss trains as an embedding."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def width(self, dim: int, n_labels: int) -> int:
        """See `Adaptation`."""
        return self.dim

    def fit(self, embeddings: np.ndarray, labels: np.ndarray) -> nn.Linear:
        """See `Adaptation`."""
        layer = nn.Linear(embeddings.shape[1], self.dim).requires_grad_(False)
        layer.weight.copy_(torch.eye(*layer.weight.shape))
        layer.bias.zero_()
        return layer


# Before a factory string: what the embeddings are projected by, fitted to the items
ADAPTATIONS: dict[str, Adaptation] = {
    "lda": LDA(),
    **{f"pca{dim}": PCA(dim) for dim in (32, 64, 128, 160, 256)},
    **{f"first{dim}": First(dim) for dim in (32, 64, 128)},
}


def load(args: argparse.Namespace) -> LabelJudge:
    """Return the items, queries and what is to be found, from the files of a run."""
    run = read(args.embeddings, args.split)
    items = run.items
    if args.items:
        known = pd.read_csv(args.items, dtype=str, on_bad_lines="skip").set_index("id")
        items = items.join(known[args.axes], on="id")
    queries = items.iloc[run.rows(args.part)]
    wanted = attributes(queries, items.iloc[run.rows("train")], args.axes)
    return LabelJudge(run.part(args.part), run.part("train"), wanted)


@dataclass(frozen=True)
class Space:
    """The vectors that are indexed and searched with; `bytes`: of the projection to them."""

    queries: Embedded
    gallery: Embedded
    bytes: int = 0


def adapted(judge: LabelJudge, adaptation: Adaptation) -> Space:
    """Return the embeddings behind an adaptation that is fitted to the items."""
    layer = adaptation.fit(judge.gallery.embeddings, judge.gallery.labels)

    def mapped(side: Embedded) -> Embedded:
        vectors = side.embeddings @ layer.weight.numpy().T + layer.bias.numpy()
        return replace(side, embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    size = 4 * (layer.weight.numel() + layer.bias.numel())
    return Space(mapped(judge.asked), mapped(judge.gallery), size)


def row(
    judge: LabelJudge, exact: np.ndarray, space: Space, factory: str, search: dict[str, float]
) -> list[str]:
    """Build and measure one index; return its cells. `exact`: exact search's hits (q, 10)."""
    n = len(space.gallery)
    every = np.arange(n)
    index = FaissIndex(factory, search)
    start = time.perf_counter()
    index.build(space.gallery.embeddings)
    build_s = time.perf_counter() - start
    stored = stored_bytes(index)
    memory = stored if stored < SMALL else resident_bytes(index) or stored
    sizes = [size + space.bytes for size in (stored, memory)]
    hits = top_hits(index, space.queries, space.gallery)
    common = [np.isin(own, best).mean() for own, best in zip(hits, exact, strict=True)]

    found = judge.shares(hits, every)
    losses = lost(found, judge.shares(exact, every))
    cells = [f"`{index.spec}`", *[f"{size / n:,.0f}" for size in sizes]]
    cells += [f"{4 * n * judge.queries.shape[1] / sizes[0]:.0f}x", f"{build_s:.0f}"]
    cells.append(f"{np.mean(common):.3f}")
    for metrics in found.values():
        cells += [f"{values.mean():.3f}" for values in metrics.values()]
    cells += [f"{loss.value:.4f} [{loss.low:.4f}, {loss.high:.4f}]" for loss in losses.values()]
    return cells


def asked(text: str) -> tuple[str, dict[str, float]]:
    """Read `IVF710,PQ64 nprobe=10`: a factory string, and what it is searched with."""
    factory, *settings = text.split(" ")
    named = [setting.split("=") for setting in settings]
    return factory, {name: float(value) for name, value in named}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("--items", type=Path, help="a table with `id` and the axes")
    parser.add_argument("--axes", nargs="*", default=[])
    parser.add_argument("--part", default="test", help="what searches: val to choose, test to tell")
    parser.add_argument("--only", help="instead of the usual: 'PCA64,SQ8;IVF710,PQ64 nprobe=10'")
    args = parser.parse_args()
    judge = load(args)
    print(f"{len(judge.gallery):,} x {judge.queries.shape[1]}, {len(judge.asked):,} queries")
    metrics = ["P@1", "P@10", *[f"{axis}@10" for axis in args.axes]]
    header = ["stored", "bytes, disk", "bytes, memory", "smaller", "build s", "recall@10"]
    header += [*metrics, *[f"{metric} lost" for metric in metrics]]
    print("| " + " | ".join(header) + " |\n" + "| --- " * len(header) + "|")
    exact = top_hits(exact_index(judge.gallery), judge.asked, judge.gallery)
    texts = args.only.split(";") if args.only else STORED
    spaces = {"": Space(judge.asked, judge.gallery)}
    for text in texts:
        name, _, rest = text.rpartition(":")
        if name not in spaces:
            spaces[name] = adapted(judge, ADAPTATIONS[name])
        factory, search = asked(rest)
        cells = row(judge, exact, spaces[name], factory, search)
        print(f"| {f'{name}, ' if name else ''}" + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
