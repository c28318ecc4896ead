from collections.abc import Hashable
from typing import Any

from rich.console import Console

from vsearch.evaluation.axes import JOINT
from vsearch.plain_text import in_markdown
from vsearch.reports.comparison import ComparedRun, ComparisonReport
from vsearch.reports.metric_names import metric_name
from vsearch.reports.table import Table, interval

MOST = 5  # labels shown at each end
COSTS = {
    "trained_parameters": ("trained parameters, with the loss's", "{:,.0f}"),
    "parameters": ("parameters, with the loss's", "{:,.0f}"),
    "epoch_s": ("s per epoch with validation (median)", "{:,.1f}"),
    "embed_photos_per_s": ("photos decoded and embedded per second", "{:,.0f}"),
    "bytes_per_vector": ("bytes per vector in the index", "{:,.0f}"),
    "search_p50_ms": ("ms per search, index alone (p50)", "{:.2f}"),
}
METHOD = (
    "Differences are run minus base: above 0 is better. 95 % intervals and two-sided p-values by "
    "the paired bootstrap: over all queries for micro (the mean over queries), within labels for "
    "macro (the mean over labels). The p-values are not corrected for the number of metrics and "
    "runs. They apply to other queries of this kind, not to the same recipe with another seed."
)
IN_A_LINE = (
    "Difference: run minus base [95 % interval]. p: how easily other queries would reverse its "
    "sign, not corrected for the number of rows. A single run says nothing about other seeds."
)
LEGEND = (
    "The largest changes. The query comes first; green: right label, red: wrong, grey: missing "
    "photo."
)
BRIEF = ("precision_at_1", "ndcg_at_10")  # of the further axes, in the terminal


def markdown(report: ComparisonReport) -> str:
    """Return a comparison as Markdown."""
    names = ", ".join(run.name for run in report.runs)
    sections = [f"# {in_markdown(f'{names} against {report.base.name}')}", _scope(report), METHOD]
    if report.gates:
        sections += ["## Gates", "\n".join(f"- {in_markdown(str(gate))}" for gate in report.gates)]
    sections += ["## Cost", "Times are from each run's own machine.", costs(report).markdown()]
    for run in report.runs:
        sections += _markdown_run(report.base.name, run)
    return "\n\n".join([*sections, ""])


def _markdown_run(base: str, run: ComparedRun) -> list[str]:
    sections = [f"## {in_markdown(run.name)}"]
    if run.notes:
        sections.append("\n".join(f"- {in_markdown(note)}" for note in run.notes))
    if run.settings:
        rows = [[name, one.base or "-", one.value or "-"] for name, one in run.settings.items()]
        table = Table(["setting", base, run.name], rows)
        sections += ["### Settings that differ", table.markdown()]
    sections.append("### Metrics")
    sections += [scores(base, run, kind).markdown() for kind in ("micro", "macro")]
    if any(run.axes.values()):
        sections += [
            "### Other axes",
            "An item is right if it has the query's value of the axis. Over queries, with each "
            "run's 95 % interval, without a paired test.",
            axes(base, run).markdown(),
        ]
    for metric, labels in run.labels.items():
        table = classes(base, run.name, labels)
        sections += [f"### Labels, {metric_name(metric)}", won(run, metric), table.markdown()]

    sections.append("### Queries won and lost")
    if run.picture is None:
        sections.append("No query changed.")
    else:
        sections += [LEGEND, f"![queries won and lost]({run.picture})"]
    return sections


def scores(base: str, run: ComparedRun, kind: str) -> Table:
    """Return both runs' metrics; `kind` is micro or macro."""
    rows = []
    for metric, kinds in run.metrics.items():
        found = kinds[kind]
        change = interval(found.difference, "+.3f")
        p_value = f"{found.difference.p_value:.3f}"
        values = [f"{found.base:.3f}", f"{found.value:.3f}"]
        rows.append([metric_name(metric), *values, change, p_value])
    return Table([f"metric ({kind})", base, run.name, "difference", "p"], rows)


def axes(base: str, run: ComparedRun, brief: bool = False) -> Table:
    """Return both runs' values on the further axes side by side, or those that are `brief`."""
    rows = []
    for axis, metrics in run.axes.items():
        for metric, found in metrics.items():
            if not brief or metric in (*BRIEF, JOINT.format(axis)):
                values = [interval(found.base), interval(found.value)]
                rows.append([axis, metric_name(metric), *values])
    return Table(["axis", "metric", base, run.name], rows)


def costs(report: ComparisonReport) -> Table:
    """Return the runs' costs, one column per run."""
    runs = [report.base, *report.runs]
    rows = []
    for name, (title, form) in COSTS.items():
        values = [run.cost.get(name) for run in runs]
        rows.append([title, *("-" if value is None else form.format(value) for value in values)])
    return Table(["cost", *(run.name for run in runs)], rows)


def classes(base: str, name: str, labels: list[dict[Hashable, Any]]) -> Table:
    """Return the labels that gained most and lost most."""
    most = [label for label in labels if label["change"] > 0][:MOST]
    most += [label for label in labels if label["change"] < 0][-MOST:]
    rows = []
    for row in most:
        values = [f"{row['base']:.3f}", f"{row['value']:.3f}", f"{row['change']:+.3f}"]
        rows.append([row["label"], str(row["queries"]), *values])
    return Table(["label", "queries", base, name, "change"], rows)


def won(run: ComparedRun, metric: str) -> str:
    """Say how many labels and queries won and lost in a metric."""
    changes = [label["change"] for label in run.labels[metric]]
    better = sum(change > 0 for change in changes)
    worse = sum(change < 0 for change in changes)
    queries = run.queries[metric]
    same = len(changes) - better - worse
    return (
        f"{metric_name(metric)}: {better} labels won, {worse} lost, {same} the same; "
        f"{queries.won} queries won, {queries.lost} lost, {queries.same} the same."
    )


def _scope(report: ComparisonReport) -> str:
    drawn = " The photos are SYNTHETIC, drawn by vsearch." if report.synthetic else ""
    return (
        f"{report.queries:,} queries of {report.labels} labels search {report.gallery:,} "
        f"items.{drawn}"
    )


def show(report: ComparisonReport, console: Console | None = None) -> None:
    """Print each run's metrics and axes, wins and losses, the costs and the gates."""
    console = console or Console(markup=False)
    base = report.base.name
    console.print(f"{_scope(report)}\n{IN_A_LINE}")
    for run in report.runs:
        for kind in ("micro", "macro"):
            scores(base, run, kind).show(f"{run.name} against {base}", console)
        both = axes(base, run, brief=True)
        if both.rows:
            both.show("Other axes, over queries", console)
        for metric in run.queries:
            console.print(won(run, metric))
        for note in run.notes:
            console.print(f"Note: {note}")

    costs(report).show("Cost", console)
    for gate in report.gates:
        console.print(str(gate))
