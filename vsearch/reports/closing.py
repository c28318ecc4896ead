from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

METRICS = {"precision_at_1": "precision@1", "map_at_r": "MAP@R"}


def show_closing(report: dict[str, Any], bundle: Path, console: Console | None = None) -> None:
    """Print a panel with the numbers that matter and the commands to type next."""
    (console or Console()).print(Panel(Text(closing(report, bundle)), title="Done", title_align="left", expand=False))


def closing(report: dict[str, Any], bundle: Path) -> str:
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
    lines.append(f"index: {index['spec']}, recall@10 {index['recall_at_10']:.4f} of exact search")
    return "\n".join(
        [
            *lines,
            f"Bundle: {bundle}",
            "",
            f"Look:   {bundle / 'report.html'} (in a browser)",
            f"Search: python -m vsearch search {bundle} PHOTO -k 10",
            f"Serve:  python -m vsearch serve {bundle}",
        ]
    )
