from typing import Any

from vsearch.reports.html.base import Figure, Findings, Section
from vsearch.reports.html.charts import ACCENT, INK, MUTED, WRONG, figure, plain
from vsearch.reports.html.photos import Photos
from vsearch.reports.index_tables import MIB, index_facts

KINDS = (  # of a candidate: name, colour, shape
    ("chosen", ACCENT, "star"),
    ("within the budgets", MUTED, "circle"),
    ("breaks a budget", WRONG, "x"),
)


def section(findings: Findings, photos: Photos) -> Section:
    """Return what the index is worth: recall against time against bytes, the chosen one marked."""
    index = findings.report["index"]
    rows = index.get("frontier") or []
    values = {
        "facts": index_facts(index),
        "times": index["latency"]["table"],
        "candidates": [{**row, "mib": row["memory_bytes"] / MIB} for row in rows],
        "trial": index.get("trial"),
    }
    return Section(values, {"frontier": _frontier(rows)} if rows else {})


def _frontier(rows: list[dict[str, Any]]) -> Figure:
    groups = {name: [row for row in rows if _kind(row) == name] for name, _, _ in KINDS}
    best = sorted((row for row in rows if row["pareto"]), key=lambda row: row["single_ms"])
    pareto = {
        "type": "scatter",
        "mode": "lines",
        "name": "none is better in both",
        "x": [row["single_ms"] for row in best],
        "y": [row["recall_at_10"] for row in best],
        "line": {"color": INK, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }
    most = max(row["memory_bytes"] for row in rows) or 1
    traces = [
        {
            "type": "scatter",
            "mode": "markers+text" if name == "chosen" else "markers",
            "name": name,
            "x": [row["single_ms"] for row in found],
            "y": [row["recall_at_10"] for row in found],
            "text": [plain(row["spec"]) for row in found],
            "textposition": "top right",
            "customdata": [round(row["memory_bytes"] / MIB, 1) for row in found],
            "marker": {
                "color": colour,
                "symbol": shape,
                "size": [
                    9 + 17 * (row["memory_bytes"] / most) ** 0.5 + 8 * row["chosen"]
                    for row in found
                ],
                "opacity": 0.85,
            },
            "hovertemplate": "%{text}<br>recall@10 %{y:.4f}<br>%{x:.3g} ms<br>%{customdata} MiB<extra></extra>",
        }
        for name, colour, shape in KINDS
        if (found := groups[name])
    ]
    x = {"type": "log"}
    return figure(
        [pareto, *traces], "ms a single search (log)", "recall@10 of exact search", 420, xaxis=x
    )


def _kind(row: dict[str, Any]) -> str:
    return KINDS[0][0] if row["chosen"] else KINDS[1][0] if row["within_budget"] else KINDS[2][0]
