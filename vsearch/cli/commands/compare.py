"""say which of several runs is better, and how certain that is

Compares runs with the first one on the same test queries: each metric's difference with interval
and p-value, labels and queries won and lost, costs. Writes comparison.md, comparison.json and
pictures. Exit status: 0, 1 if a --fail-if-worse fails, 2 if the runs can't be compared.
"""

import argparse
import json
import math
import sys
from pathlib import Path

from vsearch.errors import VsearchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folders or bundles; the others are compared with the first",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write the files (default: the last run's comparison/)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--fail-if-worse",
        nargs="+",
        action="extend",
        default=[],
        type=_limit,
        metavar="METRIC:DELTA",
        help="exit with status 1 if a run's mean is more than DELTA below the first's, "
        "whatever its interval; METRIC_macro is the mean over labels",
    )


def run(args: argparse.Namespace) -> None:
    """Compare, write and print; see the module's text for the exit status."""
    from vsearch.evaluation.comparing.comparison import compare
    from vsearch.evaluation.comparing.gates import judge
    from vsearch.evaluation.comparing.runs import open_runs
    from vsearch.reports.comparison import summary
    from vsearch.reports.comparison_files import comparison_files, refuse_foreign, write
    from vsearch.reports.comparison_tables import show

    if len(args.runs) < 2:
        raise VsearchError("name two runs or more; the others are compared with the first.")
    runs = open_runs(args.runs)
    _refuse_twice([run.folder for run in runs])
    first, *others = runs
    out = (args.out or others[-1].folder / "comparison").resolve()
    refuse_foreign(out)

    comparisons = [compare(first, other) for other in others]
    verdicts = judge(comparisons, args.fail_if_worse)
    report = summary(comparisons, verdicts)
    write(out, comparison_files(report, comparisons))
    if args.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        show(report)
        print(f"Comparison: {out}")
    if not all(verdict.passed for verdict in verdicts):
        sys.exit(1)


def _refuse_twice(folders: list[Path]) -> None:
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise VsearchError(f"{folder} is named twice: a run can't be compared with itself.")


def _limit(text: str) -> tuple[str, float]:
    """Read `METRIC:DELTA`."""
    metric, _, number = text.rpartition(":")
    try:
        delta = float(number)
    except ValueError:
        delta = -1
    if not metric or not 0 <= delta < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not METRIC:DELTA with a DELTA of 0 or more: map_at_r:0.01"
        )
    return metric, delta
