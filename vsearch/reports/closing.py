from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from vsearch.evaluation.run_report import RunReport
from vsearch.reports.metric_names import metric_name
from vsearch.reports.table import interval
from vsearch.reports.tables import products_sentence

METRICS = ("precision_at_1", "map_at_r")


def show_closing(
    report: RunReport, bundle: Path, plugins: Sequence[str] = (), console: Console | None = None
) -> None:
    """Print a panel with the most important numbers, and the next commands, without line breaks."""
    console = console or Console()
    title = "Done" if has_helped(report) else "Training didn't help"
    console.print(Panel(Text(numbers(report)), title=title, title_align="left", expand=False))
    for name, command in next_steps(bundle, plugins).items():
        console.print(f"{name + ':':8}{command}", markup=False, highlight=False, soft_wrap=True)


def has_helped(report: RunReport) -> bool:
    """Return whether training raised precision@1; True if it wasn't measured before."""
    before = report.metrics.untrained
    if before is None:
        return True
    metric = "precision_at_1"
    return report.metrics.trained[metric].micro.value > before[metric].micro.value


def numbers(report: RunReport) -> str:
    """Return the panel's text."""
    metrics = report.metrics
    lines = []
    for metric in METRICS:
        if metric not in metrics.trained:
            continue
        before = ""
        if metrics.untrained is not None:
            before = f"untrained {metrics.untrained[metric].micro.value:.3f}, "
        chance = f"chance {metrics.chance[metric].micro:.3f}"
        value = interval(metrics.trained[metric].micro)
        lines.append(f"{metric_name(metric)} {value} ({before}{chance})")

    if report.products is not None:
        lines.append(products_sentence(report.products))
    index = report.index
    lines.append(f"index: {index.spec}, recall@10 {index.recall_at_10:.4f} of exact search")
    return "\n".join(lines)


def next_steps(bundle: Path, plugins: Sequence[str]) -> dict[str, str]:
    """Return the paths of bundle and report, and the next commands.

    Args:
        plugins: the user's modules whose classes the bundle names.
    """
    trusting = f" --plugins {','.join(plugins)}" if plugins else ""
    return {
        "Bundle": str(bundle),
        "Look": f"{bundle / 'report.html'} (in a browser)",
        "Search": f"python -m vsearch search {bundle} PHOTO -k 10{trusting}",
        "Serve": f"python -m vsearch serve {bundle}{trusting}",
    }
