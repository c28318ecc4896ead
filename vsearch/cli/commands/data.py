"""say what is wrong with a catalog, before any training

CATALOG is a folder with a folder of photos for each label, a CSV or Parquet table (id, path,
label), or a YAML with `data.catalog`: an overlay such as configs/data/folder.yaml, or a run's
config.yaml. Decodes every photo once. Exit status: 0, 1 if there is a finding of a kind in
--fail-on, 2 if the catalog, split or bundle can't be used.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.cli.arguments import add_trust, names, number, whole
from vsearch.errors import Failed, VsearchError
from vsearch.evaluation.catalog_check.findings import KINDS, Limits

if TYPE_CHECKING:
    from vsearch.evaluation.catalog_check.check import Checked

LIMITS = {
    "min_side": ("PIXELS", "a photo whose shorter side has fewer is tiny"),
    "max_aspect": ("RATIO", "a photo whose longer side is more than this times the shorter is odd"),
    "min_spread": (
        "0..127",
        "a photo whose pixels deviate less, in the most varied channel, is blank",
    ),
    "max_plain": ("0..1", "a photo with a larger share of one colour is blank"),
    "min_images": ("N", "a label with fewer photos has too few"),
    "near": ("BITS", "near copies' perceptual hashes differ in at most this many of 256 bits"),
    "difference": (
        "0..255",
        "near copies' colours differ by at most this in every field of an 8 x 8 grid",
    ),
    "score": ("COSINE", "with a bundle, photos of this score or more may be near copies too"),
    "score_difference": ("0..255", "as --difference, for near copies found by score"),
    "neighbours": ("K", "a likely mislabel's K nearest neighbours all have another label"),
    "outlier": (
        "DEVIATIONS",
        "an outlier is this much farther from its neighbours than its label's median",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "say what is wrong with a catalog"
    check = actions.add_parser("check", help=text, description=__doc__, allow_abbrev=False)
    check.add_argument("catalog", type=Path, metavar="CATALOG", help="a folder, table or YAML")
    check.add_argument(
        "--split", type=Path, metavar="CSV", help="a run's split.csv, to find leaks between parts"
    )
    check.add_argument(
        "--bundle",
        type=Path,
        help="a bundle whose network finds likely mislabels, outliers and more near copies",
    )
    add_trust(check)
    check.add_argument(
        "--json",
        metavar="FILE",
        help="write every finding as JSON; - prints it instead of the table",
    )
    check.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with pictures of the worst findings"
    )
    check.add_argument(
        "--fail-on",
        type=_kinds,
        default=[],
        metavar="KIND[,KIND]",
        help=f"exit with status 1 for findings of these kinds: {', '.join(KINDS)}, or all",
    )
    limits = check.add_argument_group("limits")
    for field in fields(Limits):
        unit, line = LIMITS[field.name]
        limits.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=whole if field.type is int else number,
            default=field.default,
            metavar=unit,
            help=f"{line} (default: {field.default})",
        )


def run(args: argparse.Namespace) -> None:
    """Check, write and print; see the module's text for the exit status."""
    from vsearch.cli.catalog_argument import read_source
    from vsearch.evaluation.catalog_check.check import check
    from vsearch.reports.catalog_check import report

    for file in (args.html, args.json):
        if file and file != "-":
            _refuse_unwritable(Path(file))
    limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})
    with redirect_stdout(sys.stderr):  # progress bars: programs may read stdout
        checked = check(read_source(args.catalog), limits, args.split, args.bundle)
    found = report(checked)
    _write_and_show(checked, found, args)
    failing = [kind for kind in args.fail_on if found["kinds"][kind]["findings"]]
    if failing:
        raise Failed(f"found {', '.join(failing)}")


def _write_and_show(checked: "Checked", found: dict[str, Any], args: argparse.Namespace) -> None:
    from vsearch.data.io.atomic import replace_file
    from vsearch.reports.catalog_check_table import show

    if args.html:
        from vsearch.reports.html.catalog_check import catalog_check_html

        replace_file(args.html, catalog_check_html(checked).encode())
    text = json.dumps(found, indent=2)
    if args.json == "-":
        print(text)
        return
    if args.json:
        replace_file(Path(args.json), text.encode())
    show(found)
    for path in (args.json, args.html):
        if path:
            print(f"Written: {path}")


def _refuse_unwritable(path: Path) -> None:
    """Refuse an unwritable file before the work, not after it."""
    if path.is_dir():
        raise VsearchError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise VsearchError(
            f"{path.parent} isn't a folder: make it, or name another for {path.name}."
        )


def _kinds(text: str) -> list[str]:
    kinds = [*KINDS] if text == "all" else names(text)
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(
                f"{kind!r} isn't a kind of finding; they are {', '.join(KINDS)}, or all"
            )
    return kinds
