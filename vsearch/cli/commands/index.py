"""add and remove items of a bundle, check it, rebuild its index

A bundle is never changed in place: each change, and each new index, is written beside the current
one and then replaces it at once. Readers keep a consistent snapshot. One command at a time may
change a bundle.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.cli.arguments import (
    add_bundle,
    add_index,
    add_runtime,
    ids_in,
    index_of,
    positive,
    settings,
)
from vsearch.errors import Failed, VsearchError
from vsearch.plain_text import on_terminal

if TYPE_CHECKING:
    from vsearch.bundle.generations.live import Live
    from vsearch.bundle.generations.state import State
    from vsearch.bundle.generations.swap_trial import Shadow
    from vsearch.indexes.base import Index

SHOWN = 20  # listed photos among those left out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs and their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verbs = {}
    for name, action in ACTIONS.items():
        text = (action.__doc__ or "").splitlines()[0]
        line = text[:1].lower() + text[1:].rstrip(".")
        verbs[name] = actions.add_parser(name, help=line, description=text)
        add_bundle(verbs[name])

    _declare_add(verbs["add"])
    _declare_remove(verbs["remove"])
    for name in ("add", "remove"):
        verbs[name].add_argument(
            "--no-fold", action="store_true", help="leave all changes pending, however many"
        )
        verbs[name].add_argument(
            "--dry-run", action="store_true", help="check everything, and say what would change"
        )
    verbs["describe"].add_argument("--json", action="store_true", help="print JSON")
    for name in ("build", "swap"):
        add_index(verbs[name])
    verbs["copy"].add_argument(
        "to",
        metavar="TO",
        help="milvus://host:19530/name, postgresql://host/database/name, or a folder",
    )
    verbs["copy"].add_argument(
        "--init-args", type=settings, metavar="JSON", default={}, help='{"kind": "HNSW"}'
    )
    for name in ("swap", "copy"):
        _declare_trial(verbs[name])


def _declare_add(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--table", type=Path, help="CSV or Parquet with id, path, label and metadata")
    verb.add_argument(
        "--root",
        metavar="FOLDER",
        help="folder that the table's paths start from (default: its own)",
    )
    verb.add_argument("--folder", type=Path, help="a folder of photos for each label")
    verb.add_argument(
        "--embeddings",
        type=Path,
        help="a folder that `embed` wrote, or a Parquet with id, label, embedding (`predict`)",
    )
    verb.add_argument("--fingerprint", help="of the model that made the Parquet, or its bundle")
    add_runtime(
        verb,
        "what embeds the photos: an export, PyTorch, or the quickest that agrees (default)",
    )


def _declare_remove(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("ids", nargs="*", metavar="ID", help="ids of items")
    verb.add_argument(
        "--ids-from", type=Path, metavar="FILE", help="a text file with one id per line"
    )
    verb.add_argument(
        "--where", metavar="FILTER", help='matching items, as in search: "season = Winter"'
    )
    verb.add_argument("--ignore-missing", action="store_true", help="accept unknown ids")


def _declare_trial(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--min-overlap", type=float, default=0.9, help="least, of the 10 best (default: 0.9)"
    )
    verb.add_argument(
        "--max-precision-loss",
        type=float,
        default=0.01,
        help="most, of label precision (default: 0.01)",
    )
    verb.add_argument(
        "--queries", type=positive, default=500, help="queries to try it with (default: 500)"
    )


def run(args: argparse.Namespace) -> None:
    """Run the action."""
    try:
        ACTIONS[args.action](args)
    except BrokenPipeError:
        raise  # nobody reads the output: nothing is wrong with the bundle
    except OSError as error:
        raise VsearchError(
            f"{error}. The bundle is undamaged; `describe` shows its current state."
        ) from error


def add(args: argparse.Namespace) -> None:
    """Add items, or replace those with the same id."""
    from vsearch.bundle.generations import edit
    from vsearch.bundle.new_items import new_items

    with _changing(args.bundle) as live:
        new = new_items(
            live,
            args.table,
            args.folder,
            args.embeddings,
            args.fingerprint,
            args.runtime,
            args.root,
        )
        if new.runtime:
            print(f"Embedded with {new.runtime}.")
        _list(new.left_out)
        done = edit.add(live, new.items, new.embeddings, args.dry_run)
        added, replaced = ("Would add", "replace") if args.dry_run else ("Added", "replaced")
        print(
            f"{added} {done.added:,} items, {replaced} {done.replaced:,}; "
            f"left out {new.n_left_out:,}."
        )
        _settle(done.live, args)


def remove(args: argparse.Namespace) -> None:
    """Remove items by their ids or a filter."""
    from vsearch.bundle.generations import edit

    ids = [*args.ids]
    if args.ids_from:
        ids += ids_in(args.ids_from)
    if not ids and args.where is None:
        raise VsearchError(
            "name the ids to remove, a file with --ids-from, or a filter with --where."
        )
    with _changing(args.bundle) as live:
        if args.where is not None:
            ids += _met(live, args.where)
        done = edit.remove(live, ids, args.ignore_missing, args.dry_run)
        missing = f"; {done.missing:,} ids were not found" if done.missing else ""
        verb = "Would remove" if args.dry_run else "Removed"
        print(f"{verb} {done.removed:,} items{missing}.")
        _settle(done.live, args)


def verify(args: argparse.Namespace) -> None:
    """Check every file, the fingerprint, and that the model's embeddings haven't changed."""
    from vsearch.bundle import canaries
    from vsearch.bundle.exports.choice import choose
    from vsearch.bundle.generations.manifest import read_fitted
    from vsearch.bundle.generations.verify import verify as checks
    from vsearch.bundle.network import check_network
    from vsearch.bundle.trial_queries import belong_together

    try:
        for line in checks(args.bundle):
            print(on_terminal(line))
        fitted = read_fitted(args.bundle)
        check_network(args.bundle, fitted)
        runtime = choose(args.bundle, fitted, "auto", "float32").runtime
        print(canaries.check(args.bundle, runtime, fitted))
        for line in belong_together(args.bundle):
            print(on_terminal(line))
    except VsearchError as error:
        raise Failed(str(error)) from error
    print("All is well.")


def describe(args: argparse.Namespace) -> None:
    """Say what the bundle holds: model, index, items, changes, drift, sizes, history."""
    from vsearch.bundle.generations.description import lines, report
    from vsearch.bundle.generations.live import open_live

    found = report(open_live(args.bundle))
    print(json.dumps(found, indent=2) if args.json else on_terminal("\n".join(lines(found))))


def optimize(args: argparse.Namespace) -> None:
    """Rebuild the same kind of index of all live items, changes included."""
    from vsearch.bundle.generations.rebuild import rebuild

    with _rebuilding(args.bundle) as live:
        _say(rebuild(live, live.index, "optimize"), live.index)


def build(args: argparse.Namespace) -> None:
    """Build another index of all live items and make it the current one."""
    from vsearch.bundle.generations.live import vector_shape
    from vsearch.bundle.generations.rebuild import rebuild
    from vsearch.indexes.regions import for_shape

    with _rebuilding(args.bundle) as live:
        index = for_shape(index_of(args), vector_shape(live.fitted))
        _say(rebuild(live, index, "build"), index)


def swap(args: argparse.Namespace) -> None:
    """Build another index, and make it the current one if it answers the same queries as well."""
    from dataclasses import asdict

    from vsearch.bundle.generations.live import vector_shape
    from vsearch.bundle.generations.promote import promote
    from vsearch.bundle.generations.rebuild import build as build_index
    from vsearch.bundle.generations.swap_trial import shadow
    from vsearch.bundle.trial_queries import trial_queries
    from vsearch.indexes.regions import for_shape

    with _rebuilding(args.bundle) as live:
        index = for_shape(index_of(args), vector_shape(live.fitted))
        vectors = build_index(live, index)
        queries, what = trial_queries(live, vectors, args.queries)
        print(f"Queries: {what}")
        found = shadow(live.index, index, queries, live.items["label"].to_numpy())
        _judge(found, args)
        tried = {"shadow": asdict(found)}
        _say(promote(live, index, vectors.__getitem__, "swap", extra=tried), index)


def copy(args: argparse.Namespace) -> None:
    """Copy the vectors to a vector store, which becomes the index, or into a new bundle.

    Continues an interrupted copy.
    """
    from vsearch.bundle.copying import copy_to, move, vector_store_at

    with _rebuilding(args.bundle) as live:
        index = vector_store_at(args.to, args.init_args)
        judge = partial(_judge, args=args)
        if index is None:
            made = copy_to(live, Path(args.to), args.queries, judge)
            print(f"{args.to}: a new bundle of {len(made):,} items, {made.spec}")
            return
        _say(move(live, index, args.queries, judge), index)
        if index.collection.secret:
            print(
                "The bundle doesn't keep the URL's user and password: set PGUSER and PGPASSWORD, "
                "or MILVUS_TOKEN."
            )


def vacuum(args: argparse.Namespace) -> None:
    """Delete the vector store's rows that the bundle doesn't need."""
    from vsearch.bundle.copying import vacuum as delete

    with _changing(args.bundle) as live:
        print(f"Deleted {delete(live):,} rows.")


def rollback(args: argparse.Namespace) -> None:
    """Undo the last change: an add, a remove, or a new index."""
    from vsearch.bundle.generations.rollback import rollback as undo
    from vsearch.bundle.generations.writer_lock import writing

    with writing(args.bundle):
        undone, live = undo(args.bundle)
        print(f"Before: generation {undone.generation}, {len(undone.changes)} changes on top")
        print(
            f"Now:    generation {live.state.generation}, {len(live.items):,} items, "
            f"{live.index.spec}"
        )


ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    action.__name__: action
    for action in (add, remove, verify, describe, optimize, build, swap, copy, vacuum, rollback)
}


@contextmanager
def _changing(bundle: Path) -> Iterator["Live"]:
    """Open a bundle, and let nobody else change it meanwhile."""
    from vsearch.bundle.generations.live import open_live
    from vsearch.bundle.generations.writer_lock import writing

    with writing(bundle):
        yield open_live(bundle)


@contextmanager
def _rebuilding(bundle: Path) -> Iterator["Live"]:
    """Open a bundle to rebuild its index; warn if its vectors are codes."""
    from vsearch.bundle.trial_queries import codes_warning

    with _changing(bundle) as live:
        if text := codes_warning(live):
            print(f"Warning: {text}")
        yield live


def _settle(live: "Live", args: argparse.Namespace) -> None:
    """Fold many pending changes, and say when the index should be rebuilt."""
    from vsearch.bundle.generations.rebuild import advice, due, fold

    if args.dry_run:
        print("Nothing was written: this was a --dry-run.")
        return
    if due(live) and not args.no_fold:
        print(f"Folded {len(live.pending):,} changed rows into generation {fold(live).generation}.")
    if text := advice(live):
        print(f"Advice: {text}")


def _met(live: "Live", where: str) -> list[str]:
    import pyarrow as pa

    from vsearch.search.filters.columns import FilterError
    from vsearch.search.filters.grammar import parse

    try:
        met = parse(where).mask(live.items)
        return live.items.filter(pa.array(met))["id"].to_pylist()
    except FilterError as error:
        raise VsearchError(f"--where: {error}") from error


def _judge(found: "Shadow", args: argparse.Namespace) -> None:
    """Print the new index's answers against the old one's; refuse it if they differ too much."""
    print(f"overlap_at_10 {found.overlap_at_10:.4f}")
    for name, old in found.old.items():
        print(f"{name}: old {old:.4f}, new {found.new[name]:.4f}")
    found.check(args.min_overlap, args.max_precision_loss)


def _say(state: "State", index: "Index") -> None:
    print(f"Generation {state.generation}: {len(index):,} items, {index.spec}")


def _list(left_out: list[str]) -> None:
    for line in left_out[:SHOWN]:
        print(on_terminal(f"Left out: {line}"))
    if len(left_out) > SHOWN:
        print(f"... and {len(left_out) - SHOWN:,} more")
