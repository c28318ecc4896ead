"""write the report of a bundle's fit as one HTML file

The fit writes report.html into the bundle. This command draws it again from the bundle, for a
bundle that is older or whose photos are back. It leaves the bundle unchanged, since the manifest
has the SHA-256 of each file.
"""

import argparse
from pathlib import Path

from vsearch.cli.arguments import add_photos_root
from vsearch.errors import VsearchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle, or its run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where to write it (default: report.html in the run's folder)",
    )
    add_photos_root(parser)


def run(args: argparse.Namespace) -> None:
    """Read, draw, write."""
    from vsearch.bundle.generations.files import MANIFEST
    from vsearch.data.io.atomic import replace_file
    from vsearch.reports.html.findings import read_findings
    from vsearch.reports.html.report import FILE, report_html

    bundle = args.bundle if (args.bundle / MANIFEST).is_file() else args.bundle / "bundle"
    out = args.out or bundle.resolve().with_name(FILE)
    if out.is_dir():
        raise VsearchError(f"{out} is a folder: name a file.")
    html = report_html(read_findings(bundle, args.photos_root))
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, html)
    print(f"Report: {out} ({len(html) / 1e6:.1f} MB)")
