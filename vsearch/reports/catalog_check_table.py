import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from vsearch.plain_text import on_terminal

EXAMPLES = 3  # findings shown of each kind
IDS = 4  # items named of each finding
COMMAND = "    python -m vsearch "
RUN = "lightning_logs/version_N"
STOPS_A_FIT = ("missing", "repeated-id")


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the kinds of findings with counts and the worst of each, and the next commands."""
    console = console or Console()
    for line in headline(report):
        console.print(Text(line))
    for name, kind in report["kinds"].items():
        if kind["findings"]:
            shown = [one for one in report["findings"] if one["kind"] == name][:EXAMPLES]
            counts = f"{kind['findings']:,} found, of {kind['photos']:,} photos"
            console.print(Text.assemble("\n", (name, "bold"), f": {counts}"))
            for line in (f"{kind['meaning']}. {kind['advice']}", *map(example, shown)):
                console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    for line in closing(report):
        console.print(Text(line), soft_wrap=line.startswith(COMMAND))


def headline(report: dict[str, Any]) -> list[str]:
    """Return what was checked, as lines."""
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
    """Return a finding as one line: ids and measurements."""
    ids = [on_terminal(item["id"]) for item in finding["items"]]
    more = [f"and {len(ids) - IDS} more"] if len(ids) > IDS else []
    return f"{', '.join([*ids[:IDS], *more])}: {on_terminal(finding['text'])}"


def closing(report: dict[str, Any]) -> list[str]:
    """Return which kinds were not found, which weren't checked, and the next commands."""
    kinds = report["kinds"]
    check = f"data check {shlex.quote(on_terminal(report['catalog']))}"
    steps = {}
    if report["findings"]:
        steps["the same with pictures"] = f"{check} --html check.html"
    if not kinds["leak"]["checked"]:
        steps["leaks between the parts of a run"] = f"{check} --split {RUN}/split.csv"
    if not kinds["mislabel"]["checked"]:
        steps["likely mislabels, outliers"] = f"{check} --bundle {RUN}/bundle"
    if report["readable"] and not any(kinds[name]["findings"] for name in STOPS_A_FIT):
        steps |= _fit(report)

    well = [name for name, kind in kinds.items() if kind["checked"] and not kind["findings"]]
    lines = ["", f"Nothing found: {', '.join(well)}"] if well else []
    if steps:
        lines += ["", "Next:"]
    for what, command in steps.items():
        lines += [f"  {what}:", f"{COMMAND}{command}"]
    return lines


def _fit(report: dict[str, Any]) -> dict[str, str]:
    """Return the command that fits the catalog, and its purpose."""
    name = on_terminal(report["catalog"])
    if (Path(name) / "config.yaml").is_file():  # a run
        given = f"--config {shlex.quote(f'{name}/config.yaml')}"
    elif name.lower().endswith((".yaml", ".yml")):
        given = f"--config configs/triplet.yaml --config {shlex.quote(name)}"
    else:
        given = shlex.quote(name)

    if report["kinds"]["leak"]["findings"]:
        split = "--data.split vsearch.data.splits.StratifiedSplit"
        return {"train, keeping copies together": f"fit {given} {split}"}
    return {"train": f"fit {given}"}
