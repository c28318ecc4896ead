from typing import Any

from vsearch.reports.html.base import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.charts import MUTED, RIGHT, WRONG, figure
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.render import metric_name

Estimate = dict[str, float]


def section(findings: Findings, photos: Photos) -> Section:
    """Return how much the model loses, and how much the index loses on top of it."""
    index = findings.report["index"]
    if not index.get("labels"):
        raise LeftOutError("This bundle doesn't tell the model's errors from the index's.")
    rows = [{"name": name, **split(found)} for name, found in index["labels"].items()]
    values = {
        "rows": rows,
        "exact": index["exact"],
        "spec": index["spec"],
        "queries": len(findings.queries),
    }
    return Section(values, {"split": _bars(rows)})


def split(found: dict[str, Any]) -> dict[str, Estimate]:
    """Return what is served, what the model loses and what the index loses, each {value, low,
    high}.

    The model loses what exact search with it lacks of 1; the index, what it finds less than exact
    search does: below 0 where it happens to find more.

    Args:
        found: a metric of `reports.index_tables.label_quality`.
    """
    change = found["difference"] or {"value": 0.0, "low": 0.0, "high": 0.0}
    return {
        "served": found["served"],
        "model": _reversed(found["exact"], 1.0),
        "index": _reversed(change, 0.0),
    }


def _reversed(estimate: Estimate, whole: float) -> Estimate:
    low, high = whole - estimate["high"], whole - estimate["low"]
    return {"value": whole - estimate["value"], "low": low, "high": high}


def _bars(rows: list[dict[str, Any]]) -> Figure:
    parts = (
        ("found", "served", RIGHT, ""),
        ("the index loses", "index", MUTED, "x"),
        ("the model loses", "model", WRONG, "/"),
    )
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [metric_name(row["name"]) for row in rows],
            "x": [max(0.0, row[part]["value"]) for row in rows],
            "marker": {"color": colour, "pattern": {"shape": shape, "solidity": 0.35}},
            "hovertemplate": f"{name}: %{{x:.4f}}<extra></extra>",
        }
        for name, part, colour, shape in parts
    ]
    whole = {"range": [0, 1], "dtick": 0.2}
    order = {"autorange": "reversed", "type": "category"}
    return figure(
        bars,
        "share of a perfect score",
        "",
        120 + 44 * len(rows),
        barmode="stack",
        xaxis=whole,
        yaxis=order,
    )
