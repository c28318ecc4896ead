from typing import Any

import pandas as pd

from vsearch.evaluation.comparing.runs import leaves
from vsearch.reports.html.charts import SERIES, bar, figure, plain
from vsearch.reports.html.findings import Figure, Findings, Section
from vsearch.reports.html.photos import Photos

PARTS = ("train", "val", "test")
BARS = 120  # labels in the chart


def section(findings: Findings, photos: Photos) -> Section:
    """Return the run's data: sizes of parts and labels, copies, skipped photos."""
    protocol = findings.report.protocol
    data = findings.report.data
    sizes = data.labels if data is not None else _gallery_sizes(findings.items)
    reading = leaves(protocol.catalog_report) if protocol.catalog_report else []
    values = {
        "parts_of_split": [
            (part, protocol.parts[part]) for part in PARTS if part in protocol.parts
        ],
        "largest": sizes[0] if sizes else None,
        "smallest": sizes[-1] if sizes else None,
        "left": max(0, len(sizes) - BARS),
        "reading": [(name, str(value)) for name, value in reading],
    }
    return Section(values, {"sizes": _bars(sizes[:BARS])} if sizes else {})


def _gallery_sizes(items: pd.DataFrame) -> list[dict[str, Any]]:
    counts = items["label"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    return [{"label": label, "gallery": int(n), "all": int(n)} for label, n in counts.items()]


def _bars(sizes: list[dict[str, Any]]) -> Figure:
    names = [f"{number}. {plain(row['label'], 22)}" for number, row in enumerate(sizes, start=1)]
    bars = [
        bar(
            part,
            SERIES[number],
            x=names,
            y=[row.get(part, 0) for row in sizes],
            hovertemplate=f"%{{x}}: %{{y}} in {part}<extra></extra>",
        )
        for number, part in enumerate((*PARTS, "gallery"))
        if any(part in row for row in sizes)
    ]
    category = {"type": "category", "tickangle": -60, "showticklabels": len(sizes) <= 40}
    return figure(bars, "label, the largest first", "photos", 380, barmode="stack", xaxis=category)
