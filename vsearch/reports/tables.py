from typing import Any

from rich.console import Console
from rich.table import Table

Rows = list[list[str]]


def headline(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the main table: each metric after and before training, and by chance."""
    metrics = report["metrics"]
    columns = [name for name in ("trained", "untrained") if name in metrics]
    header, rows = ["metric"], [[metric] for metric in metrics["trained"]]
    for kind in ("micro", "macro"):
        header += [*(f"{name} ({kind})" for name in columns), f"chance ({kind})"]
        for row in rows:
            row += [_interval(metrics[name][row[0]][kind]) for name in columns]
            row.append(f"{metrics['chance'][row[0]][kind]:.3f}")
    return header, rows


def per_class(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of classes."""
    names = ("precision_at_1", "precision_at_10", "map_at_r", "ndcg_at_10")
    rows = [[row["label"], str(row["queries"]), *(f"{row[name]:.3f}" for name in names)] for row in report["per_class"]]
    return ["label", "queries", *names], rows


def facts(report: dict[str, Any]) -> Rows:
    """Return pairs of what was measured and how, for people."""
    protocol, model = report["protocol"], report["model"]
    kind = " (SYNTHETIC photos, drawn by vsearch)" if protocol["synthetic"] else ""
    parts = ", ".join(f"{part} {protocol['parts'].get(part, 0):,}" for part in ("train", "val", "test"))
    left_out, measured_on_val = protocol["unanswerable_queries"], protocol["measured_on"] == "val"
    seeds = ", ".join(f"{name} {seed}" for name, seed in protocol["seeds"].items())
    return [
        ["catalog", f"{protocol['catalog']}{kind}: {protocol['items']:,} items, {protocol['labels']} labels"],
        ["split", f"{protocol['split']}: {parts}; {protocol['skipped_photos']} broken photos skipped"],
        [
            "search",
            f"{protocol['queries']:,} {protocol['measured_on']} photos ({left_out} without an answer left out) search "
            f"{protocol['gallery']:,} items{'; val chose the epoch: optimistic' if measured_on_val else ''}",
        ],
        [
            "model",
            f"{model['class_path'].rpartition('.')[2]}, {model['dim']}-d, epoch {model['epoch']}; seeds: {seeds}",
        ],
        ["started from", f"{model['origin']} weights"],
        *_index_facts(report["index"]),
    ]


def _index_facts(index: dict[str, Any]) -> Rows:
    latency = index["latency"]
    size = latency["batch_size"]
    return [
        ["index", f"{index['spec']}, {index['bytes'] / 1e6:.1f} MB, built in {index['build_s']:.2f} s"],
        ["index recall@10", f"{index['recall_at_10']:.4f} of what exact search finds"],
        ["one search, index alone", f"p50 {latency['single_p50_ms']:.2f} ms, p99 {latency['single_p99_ms']:.2f} ms"],
        [f"{size} at once", f"p50 {latency['batch_p50_ms']:.2f} ms, p99 {latency['batch_p99_ms']:.2f} ms"],
    ]


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    return "\n\n".join(
        [
            "# Retrieval report",
            _markdown_table(["what", "value"], facts(report)),
            "## Metrics",
            "With 95 % bootstrap intervals: over queries for micro (the mean over queries), within labels for macro "
            "(the mean over labels; too narrow for labels with few queries).",
            _markdown_table(*headline(report)),
            "## Labels",
            _markdown_table(*per_class(report)),
            "",
        ]
    )


def brief(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of a table narrow enough for a terminal: intervals for the trained model only."""
    metrics = report["metrics"]
    header = ["metric", "trained", "untrained", "chance", "trained, macro"]
    rows = []
    for metric, kinds in metrics["trained"].items():
        untrained = metrics.get("untrained", {}).get(metric)
        before = f"{untrained['micro']['value']:.3f}" if untrained else "-"
        chance, macro = metrics["chance"][metric]["micro"], kinds["macro"]["value"]
        rows.append([metric, _interval(kinds["micro"]), before, f"{chance:.3f}", f"{macro:.3f}"])
    return header, rows


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the facts and the narrow table."""
    console = console or Console()
    for title, (columns, lines) in {"Measured": (["what", "value"], facts(report)), "Retrieval": brief(report)}.items():
        table = Table(*columns, title=title, title_justify="left")
        for line in lines:
            table.add_row(*line)
        console.print(table)


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _markdown_table(header: list[str], rows: Rows) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
