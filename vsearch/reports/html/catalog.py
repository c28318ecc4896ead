from typing import Any

import pandas as pd

from vsearch.evaluation.comparing.runs import leaves
from vsearch.reports.html.base import Figure, Findings, Section
from vsearch.reports.html.charts import SERIES, figure, plain
from vsearch.reports.html.photos import Photos

PARTS = ("train", "val", "test")
BARS, SKIPPED = 120, 50  # labels in the chart; skipped photos in the list


def section(findings: Findings, photos: Photos) -> Section:
    """Return what the run was made of: sizes of parts and labels, copies, photos that were skipped."""
    report = findings.report
    data, protocol = report.get("data") or {}, report["protocol"]
    sizes = data.get("labels") or _gallery_sizes(findings.items)
    values = {
        "protocol": protocol,
        "parts_of_split": [
            (part, protocol["parts"][part]) for part in PARTS if part in protocol["parts"]
        ],
        "copies": data.get("copies"),
        "skipped": (data.get("skipped") or [])[:SKIPPED],
        "largest": sizes[0] if sizes else None,
        "smallest": sizes[-1] if sizes else None,
        "gallery_only": not data.get("labels"),
        "left": max(0, len(sizes) - BARS),
        "reading": _pairs(protocol.get("catalog_report")),
        "leakage": report.get("leakage"),
    }
    return Section(values, {"sizes": _bars(sizes[:BARS])} if sizes else {})


def _pairs(node: Any) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in leaves(node)] if node else []


def _gallery_sizes(items: pd.DataFrame) -> list[dict[str, Any]]:
    counts = items["label"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    return [{"label": label, "gallery": int(n), "all": int(n)} for label, n in counts.items()]


def _bars(sizes: list[dict[str, Any]]) -> Figure:
    names = [f"{number}. {plain(row['label'], 22)}" for number, row in enumerate(sizes, start=1)]
    bars = [
        {
            "type": "bar",
            "name": part,
            "x": names,
            "y": [row.get(part, 0) for row in sizes],
            "marker": {"color": SERIES[number]},
            "hovertemplate": f"%{{x}}: %{{y}} in {part}<extra></extra>",
        }
        for number, part in enumerate((*PARTS, "gallery"))
        if any(part in row for row in sizes)
    ]
    category = {"type": "category", "tickangle": -60, "showticklabels": len(sizes) <= 40}
    return figure(bars, "label, the largest first", "photos", 380, barmode="stack", xaxis=category)
