import shlex
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

EXAMPLES, IDS = 3, 4  # findings of a kind that are shown, ids of each


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print what a catalog suffers from: kinds with counts, their worst findings, and what to type
    next.
    """
    console = console or Console()
    for line in headline(report):
        console.print(Text(line))
    table = Table(
        "kind", "found", "photos", "what it is", "the worst", title="Findings", title_justify="left"
    )
    for name, kind in report["kinds"].items():
        if kind["findings"]:
            shown = [one for one in report["findings"] if one["kind"] == name][:EXAMPLES]
            cells = [
                name,
                f"{kind['findings']:,}",
                f"{kind['photos']:,}",
                f"{kind['meaning']}. {kind['advice']}",
            ]
            table.add_row(*map(Text, cells), Text("\n".join(map(example, shown))))
    if table.row_count:
        console.print(table)
    console.print(Text("\n".join(closing(report))))


def headline(report: dict[str, Any]) -> list[str]:
    """Return what was checked, in a line each."""
    lines = [f"{plain(report['catalog'])}: {report['items']:,} items, {report['labels']:,} labels"]
    if report["left_out"]:
        counts = ", ".join(f"{name} {number:,}" for name, number in report["left_out"].items())
        lines.append(f"Left out by the catalog itself: {counts}")
    if report["split"]:
        lines.append(f"Split: {plain(report['split'])}")
    if report["embeddings"]:
        lines.append(f"Bundle: {plain(report['embeddings'])}")
    if not report["readable"]:
        lines.append("None of the photos can be read.")
    return lines


def example(finding: dict[str, Any]) -> str:
    """Return a finding in a line: ids, and what was measured."""
    ids = [plain(item["id"]) for item in finding["items"]]
    more = [f"and {len(ids) - IDS} more"] if len(ids) > IDS else []
    return f"{', '.join([*ids[:IDS], *more])}: {plain(finding['text'])}"


def closing(report: dict[str, Any]) -> list[str]:
    """Return what is well, what wasn't checked, and the next commands."""
    kinds, catalog = report["kinds"], shlex.quote(plain(report["catalog"]))
    well = [name for name, kind in kinds.items() if kind["checked"] and not kind["findings"]]
    command = f"python -m vsearch data check {catalog}"
    lines = [f"Nothing found: {', '.join(well)}"] if well else []
    lines += ["Next:"]
    if report["findings"]:
        lines.append(f"  {command} --html check.html   # the same with pictures")
    if not kinds["leak"]["checked"]:
        lines.append(
            f"  {command} --split lightning_logs/version_N/split.csv   # what leaks between its "
            "parts"
        )
    elif kinds["leak"]["findings"]:
        lines.append(
            "  python -m vsearch fit ... --data.split vsearch.data.splits.StratifiedSplit   # "
            "keeps copies together"
        )
    if not kinds["mislabel"]["checked"]:
        lines.append(
            f"  {command} --bundle lightning_logs/version_N/bundle   # likely mislabels, outliers"
        )
    if kinds["broken"]["findings"]:
        lines.append(
            "  python -m vsearch fit ... --data.on_bad_image skip   # trains without broken photos"
        )
    return lines if lines[-1] != "Next:" else lines[:-1]


def plain(text: str) -> str:
    """Return a text with what a terminal would obey, or not show, written out."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
