from typing import Any

from vsearch.evaluation.run_report import Candidate
from vsearch.reports.html.charts import ACCENT, INK, MUTED, WRONG, figure, plain
from vsearch.reports.html.findings import Figure, Findings, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.index_tables import MIB, index_facts

CHOSEN = "chosen"
WITHIN = "within the budgets"
OUTSIDE = "breaks a budget"
LOOKS = {  # colour and shape of a kind of candidate
    CHOSEN: (ACCENT, "star"),
    WITHIN: (MUTED, "circle"),
    OUTSIDE: (WRONG, "x"),
}


def section(findings: Findings, photos: Photos) -> Section:
    """Return what the index is worth: recall against time against bytes, the chosen one marked."""
    index = findings.report.index
    figures = {"frontier": _frontier(index.frontier)} if index.frontier else {}
    return Section({"facts": index_facts(index), "mib": MIB}, figures)


def _frontier(candidates: list[Candidate]) -> Figure:
    best = sorted((row for row in candidates if row.pareto), key=lambda row: row.single_ms)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "none is better in both",
            "x": [row.single_ms for row in best],
            "y": [row.recall_at_10 for row in best],
            "line": {"color": INK, "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        }
    ]
    most_bytes = max(row.memory_bytes for row in candidates) or 1
    for kind in LOOKS:
        if found := [row for row in candidates if _kind(row) == kind]:
            traces.append(_points(kind, found, most_bytes))
    axis = {"type": "log"}
    return figure(traces, "ms a single search (log)", "recall@10 of exact search", 420, xaxis=axis)


def _points(kind: str, candidates: list[Candidate], most_bytes: int) -> dict[str, Any]:
    colour, shape = LOOKS[kind]
    sizes = [9 + 17 * (row.memory_bytes / most_bytes) ** 0.5 + 8 * row.chosen for row in candidates]
    return {
        "type": "scatter",
        "mode": "markers+text" if kind == CHOSEN else "markers",
        "name": kind,
        "x": [row.single_ms for row in candidates],
        "y": [row.recall_at_10 for row in candidates],
        "text": [plain(row.spec) for row in candidates],
        "textposition": "top right",
        "customdata": [round(row.memory_bytes / MIB, 1) for row in candidates],
        "marker": {"color": colour, "symbol": shape, "size": sizes, "opacity": 0.85},
        "hovertemplate": (
            "%{text}<br>recall@10 %{y:.4f}<br>%{x:.3g} ms<br>%{customdata} MiB<extra></extra>"
        ),
    }


def _kind(row: Candidate) -> str:
    if row.chosen:
        return CHOSEN
    return WITHIN if row.within_budget else OUTSIDE
