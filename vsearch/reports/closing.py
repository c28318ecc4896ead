from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

METRICS = {"precision_at_1": "precision@1", "map_at_r": "MAP@R"}


def show_closing(report: dict[str, Any], bundle: Path, console: Console | None = None) -> None:
    """Print a panel with the numbers that matter, and below it, unbroken, the commands to type
    next.
    """
    console = console or Console()
    console.print(Panel(Text(numbers(report)), title="Done", title_align="left", expand=False))
    for name, command in next_steps(bundle).items():
        console.print(f"{name + ':':8}{command}", markup=False, highlight=False, soft_wrap=True)


def numbers(report: dict[str, Any]) -> str:
    """Return what the panel says."""
    trained, lines = report["metrics"]["trained"], []
    for metric, name in METRICS.items():
        if metric not in trained:
            continue
        found = trained[metric]["micro"]
        before = report["metrics"].get("untrained", {}).get(metric)
        beside = f"untrained {before['micro']['value']:.3f}, " if before else ""
        chance = report["metrics"]["chance"][metric]["micro"]
        interval = f"[{found['low']:.3f}, {found['high']:.3f}]"
        lines.append(f"{name} {found['value']:.3f} {interval} ({beside}chance {chance:.3f})")
    index = report["index"]
    return "\n".join(
        [*lines, f"index: {index['spec']}, recall@10 {index['recall_at_10']:.4f} of exact search"]
    )


def next_steps(bundle: Path) -> dict[str, str]:
    """Return what is there, and what to type."""
    return {
        "Bundle": str(bundle),
        "Look": f"{bundle / 'report.html'} (in a browser)",
        "Search": f"python -m vsearch search {bundle} PHOTO -k 10",
        "Serve": f"python -m vsearch serve {bundle}",
    }
