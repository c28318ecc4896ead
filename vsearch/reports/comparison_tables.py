from typing import Any

from rich.console import Console
from rich.table import Table

from vsearch.reports.tables import Rows, markdown_table

MOST = 5  # labels shown at each end
COSTS = {
    "trained_parameters": ("parameters trained, a loss's own included", "{:,.0f}"),
    "parameters": ("parameters, a loss's own included", "{:,.0f}"),
    "epoch_s": ("s a training epoch with its validation (median)", "{:,.1f}"),
    "embed_photos_per_s": ("photos decoded and embedded a second", "{:,.0f}"),
    "bytes_per_vector": ("bytes a vector in the index", "{:,.0f}"),
    "search_p50_ms": ("ms a search, index alone (p50)", "{:.2f}"),
}
METHOD = (
    "Differences are run minus base: above 0 is better. 95 % intervals and two-sided p-values by "
    "the paired bootstrap: over all queries for micro (the mean over queries), within labels for "
    "macro (the mean over labels). The p-values are not corrected for the number of metrics and "
    "runs. They say whether other queries of this kind would agree, not whether the same recipe "
    "trained with another seed would."
)
IN_A_LINE = (
    "Difference: run minus base [95 % interval]. p: how easily other queries would have turned its "
    "sign, not corrected for the number of rows. What other seeds would give, no single run says."
)
BRIEF = ("precision_at_1", "ndcg_at_10")  # of the further axes, in the terminal


def markdown(report: dict[str, Any]) -> str:
    """Return a comparison as Markdown."""
    base, runs = report["base"]["name"], report["runs"]
    parts = [f"# {', '.join(run['name'] for run in runs)} against {base}", _scope(report), METHOD]
    if report["gates"]:
        parts += ["## Gates", "\n".join(f"- {gate['text']}" for gate in report["gates"])]
    parts += [
        "## Cost",
        "Times are those of each run's own machine.",
        markdown_table(*costs(report)),
    ]
    for run in runs:
        parts += _section(base, run)
    return "\n\n".join([*parts, ""])


def _section(base: str, run: dict[str, Any]) -> list[str]:
    parts = [f"## {run['name']}"]
    if run["notes"]:
        parts.append("\n".join(f"- {note}" for note in run["notes"]))
    if run["settings"]:
        rows = [
            [key, one["base"] or "-", one["value"] or "-"] for key, one in run["settings"].items()
        ]
        parts += ["### Settings that differ", markdown_table(["setting", base, run["name"]], rows)]
    header, rows = scores(base, run, "macro")
    parts += [
        "### Metrics",
        markdown_table(*scores(base, run, "micro")),
        markdown_table(header, rows),
    ]
    if any(run["axes"].values()):
        text = "An item is right if it has the query's value of the axis. Over queries, each run's own 95 % interval:"
        parts += ["### Other axes", f"{text} no paired test.", markdown_table(*axes(base, run))]
    for metric, labels in run["labels"].items():
        parts += [
            f"### Labels, {metric}",
            won(run, metric),
            markdown_table(*classes(base, run["name"], labels)),
        ]
    legend = "The largest changes. The query first; green: right label, red: wrong, grey: the photo is gone."
    shown = (
        f"{legend}\n\n![queries won and lost]({run['picture']})"
        if run["picture"]
        else "No query changed."
    )
    return [*parts, "### Queries won and lost", shown]


def scores(base: str, run: dict[str, Any], kind: str) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of metrics; `kind` is micro or macro."""
    rows = []
    for metric, kinds in run["metrics"].items():
        one, change = kinds[kind], kinds[kind]["difference"]
        interval = f"{change['value']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"
        rows.append(
            [
                metric,
                f"{one['base']:.3f}",
                f"{one['value']:.3f}",
                interval,
                f"{change['p_value']:.3f}",
            ]
        )
    return [f"metric ({kind})", base, run["name"], "difference", "p"], rows


def axes(base: str, run: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of further axes: both runs' values side by side."""
    rows = [
        [
            axis,
            metric,
            *(
                f"{one[side]['value']:.3f} [{one[side]['low']:.3f}, {one[side]['high']:.3f}]"
                for side in one
            ),
        ]
        for axis, found in run["axes"].items()
        for metric, one in found.items()
    ]
    return ["axis", "metric", base, run["name"]], rows


def costs(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of costs, a column for each run."""
    runs = [report["base"], *report["runs"]]
    rows = []
    for name, (title, form) in COSTS.items():
        values = [run["cost"].get(name) for run in runs]
        rows.append([title, *("-" if value is None else form.format(value) for value in values)])
    return ["cost", *(run["name"] for run in runs)], rows


def classes(base: str, name: str, labels: list[dict[str, Any]]) -> tuple[list[str], Rows]:
    """Return the header and rows of the labels that gained most and of those that lost most."""
    most = [label for label in labels if label["change"] > 0][:MOST]
    most += [label for label in labels if label["change"] < 0][-MOST:]
    rows = [
        [
            one["label"],
            str(one["queries"]),
            f"{one['base']:.3f}",
            f"{one['value']:.3f}",
            f"{one['change']:+.3f}",
        ]
        for one in most
    ]
    return ["label", "queries", base, name, "change"], rows


def won(run: dict[str, Any], metric: str) -> str:
    """Say how many labels and queries won and lost by a metric."""
    labels, queries = [one["change"] for one in run["labels"][metric]], run["queries"][metric]
    better, worse = sum(change > 0 for change in labels), sum(change < 0 for change in labels)
    return (
        f"{metric}: {better} labels won, {worse} lost, {len(labels) - better - worse} the same; "
        f"{queries['won']} queries won, {queries['lost']} lost, {queries['same']} the same."
    )


def _scope(report: dict[str, Any]) -> str:
    drawn = " The photos are SYNTHETIC, drawn by vsearch." if report["synthetic"] else ""
    return f"{report['queries']:,} queries of {report['labels']} labels search {report['gallery']:,} items.{drawn}"


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print each run's metrics and axes, what was won and lost, the costs and the gates."""
    console, base = console or Console(markup=False), report["base"]["name"]
    console.print(f"{_scope(report)}\n{IN_A_LINE}")
    for run in report["runs"]:
        for kind in ("micro", "macro"):
            _print(console, f"{run['name']} against {base}", *scores(base, run, kind))
        header, rows = axes(base, run)
        if shown := [row for row in rows if row[1] in BRIEF]:
            _print(console, "Other axes, over queries", header, shown)
        for line in [won(run, metric) for metric in run["queries"]] + [
            f"Note: {note}" for note in run["notes"]
        ]:
            console.print(line)
    _print(console, "Cost", *costs(report))
    for gate in report["gates"]:
        console.print(gate["text"])


def _print(console: Console, title: str, header: list[str], rows: Rows) -> None:
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
