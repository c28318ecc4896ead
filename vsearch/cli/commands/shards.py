"""build an index from the parts of `embed`, in shards and processes, and make it the current one

Trains the index once, on a sample of the embeddings; adds the parts to copies of it in --processes
processes, one copy per shard; joins the shards to the index that one build of all parts would give.
The bundle then has the parts' items in addition to its own; parts replace items with the same id.
Finished shards are kept: run the same command again to continue. On several machines, run --step
train, then --step add --share I/N on each, then --step join. Joins only Flat, SQ, PQ or RaBitQ,
also in IVF or IMI and after PCA or OPQ. See docs/large-catalogs.md.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.bundle.bulk.share import Share
from vsearch.cli.arguments import (
    add_bundle,
    add_catalog,
    add_index,
    catalog_of,
    index_of,
    positive,
)
from vsearch.errors import VsearchError

if TYPE_CHECKING:
    from vsearch.bundle.bulk.shards import Shards
    from vsearch.data.embedding_parts import Parts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_bundle(parser)
    parser.add_argument(
        "--embeddings",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="a folder that `embed` wrote",
    )
    add_index(parser)
    add_catalog(parser, required=False)
    parser.add_argument(
        "--shards", type=positive, default=8, metavar="N", help="at most one per part (default: 8)"
    )
    parser.add_argument(
        "--processes", type=positive, default=2, metavar="N", help="at a time (default: 2)"
    )
    parser.add_argument(
        "--step", choices=("all", "train", "add", "join"), default="all", help="run only one step"
    )
    parser.add_argument(
        "--share",
        type=Share.parse,
        default=Share(),
        metavar="I/N",
        help="make only every Nth shard, from I on: 0/4 .. 3/4; with --step add",
    )


def run(args: argparse.Namespace) -> None:
    """Train, add and join."""
    from vsearch.bundle.bulk.shards import plan
    from vsearch.bundle.generations.manifest import check_model, explained, model_of, read_fitted
    from vsearch.data.embedding_parts import open_parts
    from vsearch.indexes.faiss import FaissIndex

    if args.share != Share() and args.step != "add":
        raise VsearchError("--share needs --step add: one machine trains and joins.")
    parts = open_parts(args.embeddings).whole()
    check_model(
        parts.manifest["model"],
        model_of(read_fitted(args.bundle)),
        f"{args.embeddings}: its embeddings are",
    )
    index = index_of(args)
    if not isinstance(index, FaissIndex):
        raise VsearchError(
            f"shards need vsearch.indexes.faiss.FaissIndex, not {type(index).__name__}."
        )
    with explained(args.embeddings, "training the index"):
        shards = plan(parts, index, args.shards)
        if args.step in ("all", "train"):
            n_trained = len(shards.index.sample(int(parts.starts[-1])))
            print(f"Training {shards.index.spec} on {n_trained:,} embeddings.")
            shards.train()
        if args.step in ("all", "add"):
            _add(shards, args)
    if args.step in ("all", "join"):
        _join(shards, parts, args)


def _add(shards: "Shards", args: argparse.Namespace) -> None:
    from rich.progress import track

    todo = args.share.of_all(shards.missing())
    print(f"{shards.n} shards, {len(todo)} of them to make here.")
    for _ in track(shards.add(todo, args.processes), "Adding", total=len(todo), disable=not todo):
        pass


def _join(shards: "Shards", parts: "Parts", args: argparse.Namespace) -> None:
    from vsearch.bundle.bulk.publishing import publish
    from vsearch.bundle.generations.live import open_live
    from vsearch.bundle.generations.writer_lock import writing
    from vsearch.bundle.new_items import described
    from vsearch.cli.catalog_argument import read_source
    from vsearch.data.items import as_table

    place = catalog_of(args)
    items = described(parts.ids(), read_source(place).items if place else None, args.embeddings)
    with writing(args.bundle):
        done = publish(open_live(args.bundle), shards, as_table(items))
    shards.forget()
    print(
        f"Generation {done.state.generation}: {len(done.index):,} items, {done.kept:,} of them "
        f"from before, {done.index.spec}"
    )
