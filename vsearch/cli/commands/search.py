"""find the items that look most like a photo

Opens the bundle of a run and searches it, once for each photo. With --like or --unlike, all photos
and ids make one query: photos and --like count in favour, --unlike counts against at half the
weight, and items named by id are left out of the hits. For a single photo, without --where,
--expand or --text, each hit has the probability that its label is right, and the output says "no
good match" if nothing reaches the threshold that the fit calibrated (see report.md).

--parts searches with each photo and with parts of it, for photos of several products: an item
counts by the part that it matches best. Such hits have no probabilities.

--text searches with words, alone or mixed into each query: a photo and "in red". It needs a network
with a text tower: open_clip or transformers, fitted with `text: true`.

With --expand N a query includes its N best hits, nearer ones with more weight, and searches again.
That finds more items like the first hits, in about twice the time; if these are wrong, it finds
more wrong ones. --where and --min-score apply to both searches; scores come from the second.

--where takes conditions on columns, joined by and, or, not and brackets:
  gender = Women and price < 30     = != < <= > >=; the last four: numbers
  baseColour in (Red, "Navy Blue")  quote spaces, brackets, commas, operators
  season is missing                 a missing value meets no other condition
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.cli.arguments import add_bundle, add_photos_root, number, positive
from vsearch.data.io.object_stores import is_url
from vsearch.errors import VsearchError
from vsearch.plain_text import on_terminal

if TYPE_CHECKING:
    import pyarrow as pa

    from vsearch.evaluation.calibration import Calibration
    from vsearch.search.searcher import Searcher

WISHES = ("k", "where", "min_score", "group_by", "expand", "each_photo", "text", "text_weight")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_bundle(parser)
    photos = parser.add_argument(
        "photos", nargs="+", metavar="PHOTO", help="photo files to search with"
    )
    # --like is enough; nargs="*" would refuse photos that come after an option
    photos.required = False
    parser.add_argument(
        "-k", type=_number_of_hits, default=10, help="hits for each query, or all (default: 10)"
    )
    parser.add_argument(
        "--where", metavar="FILTER", help='only matching items: "gender = Women and price < 30"'
    )
    parser.add_argument(
        "--min-score", type=float, metavar="COSINE", help="only hits of this score or more, -1..1"
    )
    for flag, line in (
        ("--like", "more like this photo or item id"),
        ("--unlike", "less like this"),
    ):
        parser.add_argument(flag, nargs="+", action="extend", metavar="ID|PHOTO", help=line)
    parser.add_argument("--parts", action="store_true", help="search with parts of each PHOTO, too")
    parser.add_argument(
        "--text", type=_words, metavar="WORDS", help='find this: "red summer dress"'
    )
    parser.add_argument(
        "--text-weight",
        type=_share,
        metavar="W",
        help="of --text beside photos and examples, 0..1 (default: 0.5, both alike)",
    )
    groups = parser.add_mutually_exclusive_group()
    groups.add_argument(
        "--group-by",
        metavar="COLUMN",
        help="of items with the same value, show only the best (default: the data.group of the "
        "fit, or none)",
    )
    groups.add_argument(
        "--each-photo", action="store_true", help="don't group photos by the fit's data.group"
    )
    parser.add_argument(
        "--expand",
        type=positive,
        default=0,
        metavar="N",
        help="search again with a query that includes its N best hits, such as 10",
    )
    add_photos_root(parser)
    parser.add_argument(
        "--one-view",
        action="store_true",
        help="embed the photos without the bundle's views: quicker, but finds a little less, and "
        "without calibration",
    )
    parser.add_argument("--metadata", action="store_true", help="show each hit's metadata too")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON instead of lines")
    forms.add_argument("--csv", action="store_true", help="print CSV, metadata included")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write the results as a page with pictures"
    )


def run(args: argparse.Namespace) -> None:
    """Search and print."""
    from vsearch.data.items import keep_pandas_out

    keep_pandas_out()
    from vsearch.bundle.opening import open_bundle
    from vsearch.evaluation import calibration
    from vsearch.reports import search_results
    from vsearch.search.query_by_example import TEXT_WEIGHT

    if not (args.photos or args.like or args.unlike or args.text):
        raise VsearchError(
            "nothing to search with: name a PHOTO, or an item's id with --like, or words with "
            "--text"
        )
    if args.parts and (args.like or args.unlike or not args.photos):
        raise VsearchError("--parts needs a PHOTO, and doesn't go with --like and --unlike")
    if args.text_weight is None:
        args.text_weight = TEXT_WEIGHT
    elif not args.text:
        raise VsearchError("--text-weight needs --text: which words should it weigh?")
    if args.min_score is not None and not -1 <= args.min_score <= 1:
        raise VsearchError(f"--min-score {args.min_score:g}: scores are cosines, -1..1")

    for photo in args.photos or []:
        if not is_url(photo) and not Path(photo).exists():  # before the network is loaded
            raise VsearchError(f"{photo}: no such photo")
    if args.html and not args.html.parent.is_dir():
        raise VsearchError(f"--html {args.html}: there is no folder {args.html.parent}")
    bundle = open_bundle(args.bundle, photos_root=args.photos_root)
    calibrated = calibration.read(args.bundle, bundle.manifest)
    if args.one_view and bundle.runtime.use_one_view():
        calibrated = None
    answers = [_judged(answer, calibrated) for answer in _answers(bundle, args)]
    if args.json:
        print(json.dumps(answers, indent=2))
    elif args.csv:
        print(search_results.csv(answers), end="")
    else:
        print(search_results.text(answers, args.metadata))
    if args.html:
        from vsearch.reports.html.search_page import search_page

        args.html.write_text(search_page(answers), encoding="utf-8")
        print(f"Written: {args.html}", file=sys.stderr)
    if args.where and not any(answer["hits"] for answer in answers):
        for reason in bundle.unmet(args.where):
            print(on_terminal(f"vsearch search: {reason}"), file=sys.stderr)

    _tell_of_missing_photos(answers, str(bundle.manifest.get("photos_root", "")))


def _tell_of_missing_photos(answers: list[dict[str, Any]], root: str) -> None:
    """Warn if no hit's photo can be read: a program that shows them would find none."""
    hits = [hit for answer in answers for hit in answer["hits"]]
    paths = [hit["path"] for hit in hits if hit["path"] and not is_url(hit["path"])]
    if paths and not any(os.access(path, os.R_OK) for path in paths):
        message = (
            f"vsearch search: the hits' photos are missing, such as {paths[0]}. If they were moved "
            f"from {root}, name their new folder with --photos-root."
        )
        print(on_terminal(message), file=sys.stderr)


def _answers(bundle: "Searcher", args: argparse.Namespace) -> list[dict[str, Any]]:
    photos = args.photos or []
    like = args.like or []
    unlike = args.unlike or []
    wishes = {name: getattr(args, name) for name in WISHES}
    words = [f'"{args.text}"'] if args.text else []
    if like or unlike or not photos:
        query = ", ".join([*photos, *like, *(f"not {example}" for example in unlike), *words])
        examples = [*map(Path, photos), *like]
        found = [(query, bundle.search_examples(examples, unlike, **wishes))]
        one_photo = False
    else:
        queries = [", ".join([photo, *words]) for photo in photos]
        tables = bundle.search(photos, **wishes, parts=args.parts)
        found = list(zip(queries, tables, strict=True))
        means = bundle.uses_means(args.group_by, args.each_photo)
        one_photo = not (args.where is not None or args.expand or means or words or args.parts)
    synthetic = bool(bundle.manifest.get("protocol", {}).get("synthetic"))
    return [
        {"query": query, "synthetic": synthetic, "one_photo": one_photo, "hits": _hits(table)}
        for query, table in found
    ]


def _judged(answer: dict[str, Any], calibrated: "Calibration | None") -> dict[str, Any]:
    """Add probabilities; the calibration holds only for one plain photo among all items."""
    hits = answer["hits"]
    known = calibrated if answer.pop("one_photo") else None
    chances = known.probability([hit["score"] for hit in hits]) if known else [None] * len(hits)
    for hit, chance in zip(hits, chances, strict=True):
        hit["probability"] = None if chance is None else float(chance)
    good = known.good_match(hits[0]["score"] if hits else None) if known else None
    return {**answer, "good_match": good, "threshold": known.threshold if known else None}


def _hits(table: "pa.Table") -> list[dict[str, Any]]:
    import numpy as np

    from vsearch.data.items import plain_rows

    # columns of the hits themselves come first; later ones of such names are metadata
    own = table.column_names[: table.column_names.index("id")]
    hits = []
    for row in plain_rows(table, np.arange(len(table))):
        hit = {name: row.pop(name) for name in ("rank", "id", "label", "score", "path")}
        for name in ("group_size", "region", "query_region"):
            hit[name] = row.pop(name) if name in own else None
        row.pop("split", None)
        hits.append({**hit, "similarity_percent": round(100 * hit["score"], 1), "metadata": row})
    return hits


def _share(text: str) -> float:
    value = number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it has no words")
    return text


def _number_of_hits(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return positive(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or all") from error
