import shlex
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vsearch.plain_text import on_terminal

EXAMPLES = 3  # findings of a kind that are shown
IDS = 4  # items of a finding that are named
FIT = "  python -m vsearch fit ... "
RUN = "lightning_logs/version_N"


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the kinds of findings with counts and the worst of each, and what to type next."""
    console = console or Console()
    for line in headline(report):
        console.print(Text(line))
    header = ("kind", "found", "photos", "what it is", "the worst")
    table = Table(*header, title="Findings", title_justify="left")
    for name, kind in report["kinds"].items():
        if kind["findings"]:
            shown = [one for one in report["findings"] if one["kind"] == name][:EXAMPLES]
            counts = [f"{kind['findings']:,}", f"{kind['photos']:,}"]
            meaning = f"{kind['meaning']}. {kind['advice']}"
            worst = "\n".join(map(example, shown))
            table.add_row(*map(Text, (name, *counts, meaning, worst)))
    if table.row_count:
        console.print(table)
    console.print(Text("\n".join(closing(report))))


def headline(report: dict[str, Any]) -> list[str]:
    """Return what was checked, in a line each."""
    lines = [
        f"{on_terminal(report['catalog'])}: {report['items']:,} items, {report['labels']:,} labels"
    ]
    if report["left_out"]:
        counts = ", ".join(f"{name} {number:,}" for name, number in report["left_out"].items())
        lines.append(f"Left out by the catalog itself: {counts}")
    if report["split"]:
        lines.append(f"Split: {on_terminal(report['split'])}")
    if report["embeddings"]:
        lines.append(f"Bundle: {on_terminal(report['embeddings'])}")
    if not report["readable"]:
        lines.append("None of the photos can be read.")
    return lines


def example(finding: dict[str, Any]) -> str:
    """Return a finding in a line: ids, and what was measured."""
    ids = [on_terminal(item["id"]) for item in finding["items"]]
    more = [f"and {len(ids) - IDS} more"] if len(ids) > IDS else []
    return f"{', '.join([*ids[:IDS], *more])}: {on_terminal(finding['text'])}"


def closing(report: dict[str, Any]) -> list[str]:
    """Return what is well, what wasn't checked, and the next commands."""
    kinds = report["kinds"]
    command = f"  python -m vsearch data check {shlex.quote(on_terminal(report['catalog']))}"
    well = [name for name, kind in kinds.items() if kind["checked"] and not kind["findings"]]
    steps = []
    if report["findings"]:
        steps.append(f"{command} --html check.html   # the same with pictures")
    if not kinds["leak"]["checked"]:
        steps.append(f"{command} --split {RUN}/split.csv   # what leaks between its parts")
    elif kinds["leak"]["findings"]:
        split = "--data.split vsearch.data.splits.StratifiedSplit"
        steps.append(f"{FIT}{split}   # keeps copies together")
    if not kinds["mislabel"]["checked"]:
        steps.append(f"{command} --bundle {RUN}/bundle   # likely mislabels, outliers")
    if kinds["broken"]["findings"]:
        steps.append(f"{FIT}--data.on_bad_image skip   # trains without broken photos")

    lines = [f"Nothing found: {', '.join(well)}"] if well else []
    return [*lines, "Next:", *steps] if steps else lines
