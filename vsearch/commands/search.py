"""find the items that look most like a photo

Opens the bundle of a run and searches it with one photo or several.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", type=Path, help="a run's bundle: lightning_logs/version_N/bundle")
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="photo files to search with")
    parser.add_argument("-k", type=_positive, default=10, help="hits for each photo (default: 10)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(args: argparse.Namespace) -> None:
    """Search and print; a bad bundle or photo ends the program with its message and status 1."""
    from vsearch.bundle import BundleError, open_bundle
    from vsearch.images import PhotoError

    try:
        bundle = open_bundle(args.bundle)
        results = bundle.search(args.photos, args.k)
    except (BundleError, PhotoError) as error:
        sys.exit(f"vsearch search: {error}")
    synthetic = bool(bundle.manifest.get("protocol", {}).get("synthetic"))
    answers = [
        {"query": photo, "synthetic": synthetic, "hits": _hits(table)}
        for photo, table in zip(args.photos, results, strict=True)
    ]
    if args.json:
        print(json.dumps(answers, indent=2))
    else:
        _show(answers)


def _hits(table: "pd.DataFrame") -> list[dict[str, Any]]:
    named = ["rank", "id", "label", "score", "path"]
    rows = json.loads(table.to_json(orient="records"))  # JSON's own types: no NumPy numbers, null for what is missing
    return [
        {name: row[name] for name in named}
        | {"similarity_percent": round(100 * row["score"], 1)}
        | {"metadata": {name: value for name, value in row.items() if name not in (*named, "split")}}
        for row in rows
    ]


def _show(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    for answer in answers:
        table = Table("rank", "id", "label", "similarity", "metadata")
        for hit in answer["hits"]:
            metadata = ", ".join(f"{name}: {value}" for name, value in hit["metadata"].items())
            table.add_row(str(hit["rank"]), hit["id"], hit["label"], f"{hit['similarity_percent']:.1f} %", metadata)
        print(answer["query"])  # in one piece: a table's title would be broken into lines
        Console(markup=False).print(table)  # a name may hold [brackets]
        if answer["synthetic"]:
            print("The photos of this catalog are SYNTHETIC, drawn by vsearch.")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number
