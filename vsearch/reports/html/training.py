from typing import Any

from vsearch.reports.html.base import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.charts import MUTED, figure, line
from vsearch.reports.html.photos import Photos

CHARTS = {  # by the places that the template has for them: title of the axis, metrics
    "losses": ("loss", ("train/loss", "val/loss")),
    "retrieval": ("mean over val photos", ("val/precision_at_1", "val/map_at_r", "val/cmc_at_10")),
    "geometry": ("share of triplets", ("train/active_triplets",)),
}


def section(findings: Findings, photos: Photos) -> Section:
    """Return curves of what each epoch's training and validation measured."""
    training = findings.report.get("training") or {}
    epochs = training.get("epochs") or []
    if not epochs:
        raise LeftOutError("This bundle's fit kept no metrics of its epochs.")
    figures = {
        name: drawn
        for name, (title, names) in CHARTS.items()
        if (drawn := _chart(training, title, names))
    }
    names = list(dict.fromkeys(name for row in epochs for name in row if name != "epoch"))
    table = [[row["epoch"], *(row.get(name) for name in names)] for row in epochs]
    return Section({"names": names, "table": table, "chosen": training.get("chosen")}, figures)


def _chart(training: dict[str, Any], title: str, names: tuple[str, ...]) -> Figure | None:
    epochs = training["epochs"]
    there = [name for name in names if any(row.get(name) is not None for row in epochs)]
    if not there:
        return None
    x = [row["epoch"] for row in epochs]
    lines = [
        line(x, [row.get(name) for row in epochs], name, number)
        for number, name in enumerate(there)
    ]
    chosen = training.get("chosen")
    marks = [] if chosen is None else [_mark(chosen)]
    steps = {"tickvals": x[:: 1 + len(x) // 12], "range": [x[0] - 0.3, x[-1] + 0.3]}
    return figure(lines, "epoch", title, 300, shapes=marks, xaxis=steps, showlegend=True)


def _mark(epoch: int) -> dict[str, Any]:
    style = {
        "line": {"color": MUTED, "dash": "dot"},
        "label": {"text": "kept", "font": {"color": MUTED}},
    }
    return {"type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper", **style}
