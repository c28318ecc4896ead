"""write the report of a bundle's fit as one HTML file

The fit writes report.html into the bundle; this draws it again, from what the bundle holds, for one
that is older or whose photos have come back. The bundle stays as it is: its manifest has the
SHA-256 of each file.
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="a bundle, or the run that it lies in"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where to (default: report.html in the run's folder)",
    )


def run(args: argparse.Namespace) -> None:
    """Read, draw, write; a bundle that can't be read ends with status 2."""
    from vsearch.bundle.generations.layout import MANIFEST
    from vsearch.data.io.atomic import replace_file
    from vsearch.errors import BundleError
    from vsearch.reports.html.findings import read_findings
    from vsearch.reports.html.report import FILE, report_html

    bundle = args.bundle if (args.bundle / MANIFEST).is_file() else args.bundle / "bundle"
    out = args.out or bundle.resolve().with_name(FILE)
    try:
        if out.is_dir():
            raise IsADirectoryError(f"{out} is a folder: name a file.")
        html = report_html(read_findings(bundle))
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, html)
    except (BundleError, OSError) as error:
        print(f"vsearch report: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"Report: {out} ({len(html) / 1e6:.1f} MB)")
