from typing import Any

from vsearch.evaluation.run_report import Candidate
from vsearch.reports.frontier import axis_titles
from vsearch.reports.html.charts import ACCENT, INK, MUTED, WRONG, figure, plain
from vsearch.reports.html.findings import Figure, Findings, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.index_tables import MIB, index_facts

CHOSEN = "chosen"
WITHIN = "within the budgets"
OUTSIDE = "breaks a budget"
LOOKS = {  # colour and shape of each kind of candidate
    CHOSEN: (ACCENT, "star"),
    WITHIN: (MUTED, "circle"),
    OUTSIDE: (WRONG, "x"),
}


def section(findings: Findings, photos: Photos) -> Section:
    """Return the index's facts, and each candidate's quality against time and bytes."""
    index = findings.report.index
    figures = {"frontier": _frontier(index.frontier, index.prefer)} if index.frontier else {}
    return Section({"facts": index_facts(index), "mib": MIB}, figures)


def _frontier(candidates: list[Candidate], prefer: str) -> Figure:
    best = sorted((row for row in candidates if row.pareto), key=lambda row: row.cost(prefer))
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "no other is better in both",
            "x": [row.cost(prefer) for row in best],
            "y": [row.quality.value for row in best],
            "line": {"color": INK, "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        }
    ]
    most_bytes = max(row.memory_bytes for row in candidates) or 1
    for kind in LOOKS:
        if found := [row for row in candidates if _kind(row) == kind]:
            traces.append(_points(kind, found, most_bytes, prefer))
    across, upward = axis_titles(candidates, prefer)
    return figure(traces, f"{across} (log)", upward, 420, xaxis={"type": "log"})


def _points(kind: str, candidates: list[Candidate], most_bytes: int, prefer: str) -> dict[str, Any]:
    colour, shape = LOOKS[kind]
    sizes = [9 + 17 * (row.memory_bytes / most_bytes) ** 0.5 + 8 * row.chosen for row in candidates]
    return {
        "type": "scatter",
        "mode": "markers+text" if kind == CHOSEN else "markers",
        "name": kind,
        "x": [row.cost(prefer) for row in candidates],
        "y": [row.quality.value for row in candidates],
        "error_y": {
            "array": [row.quality.high - row.quality.value for row in candidates],
            "arrayminus": [row.quality.value - row.quality.low for row in candidates],
        },
        "text": [plain(row.spec) for row in candidates],
        "textposition": "top right",
        "customdata": [
            f"recall@10 {row.recall_at_10:.4f}<br>{row.single_ms:.3g} ms<br>"
            f"{row.memory_bytes / MIB:.1f} MiB"
            for row in candidates
        ],
        "marker": {"color": colour, "symbol": shape, "size": sizes, "opacity": 0.85},
        "hovertemplate": "%{text}<br>%{customdata}<extra></extra>",
    }


def _kind(row: Candidate) -> str:
    if row.chosen:
        return CHOSEN
    return WITHIN if row.within_budget else OUTSIDE
