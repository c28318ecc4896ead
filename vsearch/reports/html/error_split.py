from dataclasses import dataclass

from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate
from vsearch.evaluation.run_report import LabelQuality
from vsearch.reports.html.charts import MUTED, RIGHT, WRONG, bar, figure
from vsearch.reports.html.findings import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.metric_names import metric_name

PARTS = (  # of a perfect score: name, attribute of Split, colour, pattern
    ("found", "served", RIGHT, ""),
    ("the index loses", "index", MUTED, "x"),
    ("the model loses", "model", WRONG, "/"),
)


@dataclass(frozen=True)
class Split:
    """Shares that the served index finds, the model loses and the index loses; their sum is 1."""

    served: Estimate
    model: Estimate
    index: Estimate


def section(findings: Findings, photos: Photos) -> Section:
    """Return how much the model loses, and how much more the index loses."""
    labels = findings.report.index.labels
    if not labels:
        raise LeftOutError("This bundle doesn't separate the model's errors from the index's.")
    rows = {name: split(found) for name, found in labels.items()}
    return Section({"rows": rows, "queries": len(findings.queries)}, {"split": _bars(rows)})


def split(found: LabelQuality) -> Split:
    """Split a metric's distance to 1: the model loses what exact search lacks.

    The index loses its difference from exact search: below 0 if it finds more.
    """
    change = found.difference or Estimate(0.0, 0.0, 0.0)
    return Split(found.served, _lacking(1.0, found.exact), _lacking(0.0, change))


def _lacking(whole: float, found: Estimate | Difference) -> Estimate:
    return Estimate(whole - found.value, whole - found.high, whole - found.low)


def _bars(rows: dict[str, Split]) -> Figure:
    names = [metric_name(name) for name in rows]
    bars = [
        bar(
            name,
            colour,
            pattern,
            orientation="h",
            y=names,
            x=[max(0.0, getattr(row, part).value) for row in rows.values()],
            hovertemplate=f"{name}: %{{x:.4f}}<extra></extra>",
        )
        for name, part, colour, pattern in PARTS
    ]
    return figure(
        bars,
        "share of a perfect score",
        "",
        120 + 44 * len(rows),
        barmode="stack",
        xaxis={"range": [0, 1], "dtick": 0.2},
        yaxis={"autorange": "reversed", "type": "category"},
    )
