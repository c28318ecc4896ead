from typing import Any

import pandas as pd

from vsearch.data.stratified import stratified
from vsearch.reports.html.charts import MUTED, SERIES, SYMBOLS, figure, plain
from vsearch.reports.html.findings import Findings, LeftOutError, Section
from vsearch.reports.html.photos import SMALL, Photos
from vsearch.reports.html.projection import project

POINTS = 1200  # drawn gallery items
NAMED = 16  # labels with their own colour and shape: those with most points
AT_LEAST = 3  # points of each label, if there is room
HIDDEN = {
    "showticklabels": False,
    "zeroline": False,
    "showgrid": False,
    "showline": False,
    "ticks": "",
}
LEGEND = {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "font": {"size": 12}}


def section(findings: Findings, photos: Photos) -> Section:
    """Return a map of a sample of the gallery: items similar to the network are near each other."""
    if findings.vectors is None:
        raise LeftOutError("The gallery's embeddings are missing.")
    if len(findings.items) < 3:
        raise LeftOutError("A map needs at least three items.")

    places = stratified(findings.labels, POINTS, AT_LEAST, findings.seed)
    drawn = project(findings.vectors[places], findings.seed)
    points = pd.DataFrame(drawn.points.round(3), columns=["x", "y"])
    points["label"] = findings.labels[places]
    points["id"] = findings.items["id"].iloc[places].to_numpy()
    points["key"] = [photos.want(findings.items, int(place), "item", SMALL) for place in places]

    sizes = points["label"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    named = list(sizes.index[:NAMED])
    traces = [
        _trace(points[points["label"] == label], label, label_colour_and_shape(rank))
        for rank, label in enumerate(named)
    ]
    others = points[~points["label"].isin(named)]
    if len(others):
        grey = {"color": MUTED, "symbol": "circle-open", "size": 6}
        traces.append(_trace(others, f"{len(sizes) - len(named)} other labels", grey))

    square = {**HIDDEN, "scaleanchor": "x"}
    chart = figure(traces, "", "", 680, xaxis=HIDDEN, yaxis=square, dragmode="pan", legend=LEGEND)
    values = {
        "n": len(places),
        "all": len(findings.labels),
        "how": drawn.how,
        "labels": len(sizes),
    }
    return Section(values, {"map": chart})


def label_colour_and_shape(rank: int) -> dict[str, Any]:
    """Return the colour and shape of a label's points; `rank` is 0 for the label with most points.

    Colours come from the style sheet, --series-1 to --series-8. When they repeat, the shapes
    change, so no two labels look alike.
    """
    turn = rank // len(SERIES)
    return {
        "color": SERIES[rank % len(SERIES)],
        "symbol": SYMBOLS[(rank + turn) % len(SYMBOLS)],
        "size": 7,
        "opacity": 0.85,
    }


def _trace(points: pd.DataFrame, name: str, marker: dict[str, Any]) -> dict[str, Any]:
    """Draw the points of one label, or of all others; a point knows its photo, label and id."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": plain(name, 28),
        "x": points["x"].tolist(),
        "y": points["y"].tolist(),
        "customdata": points[["key", "label", "id"]].astype(str).to_numpy().tolist(),
        "marker": marker,
        "hoverinfo": "none",
    }
