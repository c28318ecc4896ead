"""embed a large catalog into Parquet parts, on one machine or several; continues after a stop

OUT gets a manifest, which binds it to the bundle's fingerprint and to the catalog;
parts/000000.parquet and so on, with id, label, embedding and content_hash of --part-size catalog
rows each; and errors.csv with the photos that can't be read. After any interruption, the same
command makes the missing parts. `index add --embeddings OUT` adds them to a bundle, `shards` builds
an index of them. See docs/large-catalogs.md.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.bundle.bulk.share import Share
from vsearch.cli.arguments import add_bundle, add_catalog, add_runtime, catalog_of, positive
from vsearch.errors import VsearchError

if TYPE_CHECKING:
    from vsearch.bundle.bulk.writer import Writer
    from vsearch.data.embedding_parts import Parts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_bundle(parser)
    add_catalog(parser, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where to write the parts"
    )
    parser.add_argument(
        "--executor",
        choices=("lightning", "ray"),
        default="lightning",
        help="Lightning's Trainer, here (default), or Ray Data, here or on a cluster (RAY_ADDRESS)",
    )
    add_runtime(parser, "as for `index add --runtime`; an unfinished folder continues with its own")
    parser.add_argument(
        "--share",
        type=Share.parse,
        default=Share(),
        metavar="I/N",
        help="make only every Nth part, from I on: 0/4 .. 3/4",
    )
    parser.add_argument(
        "--part-size",
        type=positive,
        default=1024,
        metavar="ROWS",
        help="rows per part (default: 1024)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=64,
        metavar="PHOTOS",
        help="photos at a time (default: 64)",
    )
    parser.add_argument(
        "--actors", type=positive, metavar="N", help="Ray: networks (default: one per GPU or core)"
    )
    parser.add_argument(
        "--retry-errors", action="store_true", help="make parts with broken photos again"
    )


def run(args: argparse.Namespace) -> None:
    """Embed the missing parts."""
    try:
        _embed(args)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("Run the same command again to continue.") from stop


def _embed(args: argparse.Namespace) -> None:
    from rich import progress

    from vsearch.bundle.bulk.network import decide
    from vsearch.bundle.bulk.plan import Network, begin, start
    from vsearch.bundle.bulk.writer import Writer, forget_errors
    from vsearch.bundle.generations.live import vector_shape
    from vsearch.bundle.generations.manifest import model_of, read_fitted
    from vsearch.cli.catalog_argument import read_source

    source = read_source(catalog_of(args))
    if args.actors and args.executor != "ray":
        raise VsearchError("--actors needs --executor ray.")
    fitted = read_fitted(args.bundle)
    if len(vector_shape(fitted)) > 1:
        raise VsearchError(
            f"{args.bundle}: its index holds parts of photos, and `embed` embeds whole photos "
            "only. Add photos by `index add`."
        )
    model = model_of(fitted)
    items = source.items
    begun = begin(args.out, model, items, source.name, args.part_size)
    kept = Network(**begun.manifest["network"]) if begun else None
    chosen = decide(args.bundle, args.runtime, kept)
    network = Network(chosen.runtime.name, chosen.runtime.precision)
    parts = begun or start(args.out, model, items, source.name, args.part_size, network)
    first = Network(**parts.manifest["network"])
    if first != network:  # another process was first, with another choice
        network = first
        chosen = decide(args.bundle, args.runtime, network)
    if args.retry_errors:
        print(f"{forget_errors(parts, args.share):,} parts with broken photos will be made again.")
    todo = args.share.of_all(parts.missing())
    rows = [row for number in todo for row in parts.rows(number)]
    print(
        f"Embedding with {network.runtime}: {chosen.why}. {len(parts):,} parts, {len(todo):,} of "
        "them to make here."
    )
    columns = (
        progress.TextColumn("Embedding"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, disable=not rows) as bar:
        task = bar.add_task("", total=len(rows))
        writer = Writer(parts, items, lambda n: bar.advance(task, n))
        if rows and args.executor == "ray":
            from vsearch.bundle.bulk import on_ray

            on_ray.run(args.bundle, network, items.iloc[rows], writer, args.batch_size, args.actors)
        elif rows:
            from vsearch.data.photos import Preprocessing
            from vsearch.training.distributed import embed_on_lightning as on_lightning

            preprocessing = Preprocessing(**model["preprocessing"])
            on_lightning.run(
                chosen.runtime, preprocessing, items.iloc[rows], writer, args.batch_size
            )
    _say(parts, writer)


def _say(parts: "Parts", writer: "Writer") -> None:
    from vsearch.bundle.bulk.writer import clear, list_errors

    missing = len(parts.missing())
    print(f"Embedded {writer.embedded:,} photos; {writer.broken:,} can't be read.")
    if missing:
        print(f"{missing:,} of {len(parts):,} parts are still missing: they are in other shares.")
        return
    clear(parts)
    errors = list_errors(parts)
    unread = f"; unreadable photos: {errors}" if errors else ""
    print(f"All {len(parts):,} parts are complete: {parts.folder}{unread}")
