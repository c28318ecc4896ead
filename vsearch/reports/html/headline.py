from typing import Any

from vsearch.reports.html.base import Findings, Section
from vsearch.reports.html.photos import Photos

CARDS = ("precision_at_1", "precision_at_10", "cmc_at_10", "map_at_r")


def section(findings: Findings, photos: Photos) -> Section:
    """Return the metrics, each with its interval, beside the network before training and chance."""
    report = findings.report
    metrics = report["metrics"]
    rows = [{"name": name, **_kinds(metrics, name)} for name in metrics["trained"]]
    cards = [row for row in rows if row["name"] in CARDS]
    values = {
        "cards": cards or rows[:4],
        "rows": rows,
        "untrained": "untrained" in metrics,
        "protocol": report["protocol"],
        "alone": sum(row["queries"] == 1 for row in report["per_class"]),
        "labels": len(report["per_class"]),
        "axes": _axes(report),
    }
    return Section(values)


def _kinds(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    sides = [side for side in ("trained", "untrained", "chance") if side in metrics]
    return {
        kind: {side: metrics[side][name][kind] for side in sides} for kind in ("micro", "macro")
    }


def _axes(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each further axis and metric: {axis, metric, trained, untrained, chance}."""
    groups = {name: axis["metrics"] for name, axis in report.get("axes", {}).items()}
    if groups:
        groups["graded, all together"] = {"ndcg_at_10": report["graded"]["ndcg_at_10"]}
    return [
        {"axis": axis, "metric": name, **one}
        for axis, found in groups.items()
        for name, one in found.items()
    ]
