from typing import Any

import numpy as np
import pandas as pd

from vsearch.reports.html.base import Findings, LeftOutError, Section
from vsearch.reports.html.charts import MUTED, SERIES, SYMBOLS, figure, plain
from vsearch.reports.html.photos import SMALL, Photos
from vsearch.reports.html.projection import project

POINTS, NAMED = 1200, 16  # gallery items drawn; labels with a colour and a shape of their own
AT_LEAST = 3  # points of each label, where there is room


def section(findings: Findings, photos: Photos) -> Section:
    """Return a map of a sample of the gallery: items that the network finds alike lie together."""
    if findings.vectors is None:
        raise LeftOutError("The gallery's embeddings aren't there.")
    if len(findings.items) < 3:
        raise LeftOutError("A map takes three items.")
    labels = findings.labels
    places = sample(labels, POINTS, findings.seed)
    drawn = project(findings.vectors[places], findings.seed)
    keys = [photos.want(findings.items, int(place), "item", SMALL) for place in places]
    table = pd.DataFrame(
        {
            "x": drawn.points[:, 0].round(3),
            "y": drawn.points[:, 1].round(3),
            "label": labels[places],
        }
    )
    table["id"], table["key"] = findings.items["id"].iloc[places].to_numpy(), keys
    sizes = table["label"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    named = list(sizes.index[:NAMED])
    traces = [
        _trace(table[table["label"] == label], label, number) for number, label in enumerate(named)
    ]
    others = table[~table["label"].isin(named)]
    if len(others):
        traces.append(_trace(others, f"{len(sizes) - len(named)} other labels", None))
    hidden: dict[str, Any] = {
        "showticklabels": False,
        "zeroline": False,
        "showgrid": False,
        "showline": False,
        "ticks": "",
    }
    legend = {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "font": {"size": 12}}
    square = {**hidden, "scaleanchor": "x"}
    chart = figure(traces, "", "", 680, xaxis=hidden, yaxis=square, dragmode="pan", legend=legend)
    values = {"n": len(places), "all": len(labels), "how": drawn.how, "labels": len(sizes)}
    return Section(values, {"map": chart})


def sample(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return up to `n` positions, stratified: of each label AT_LEAST, then as many as its share of
    all.

    In an order of which each beginning is stratified, too. The same for the same seed.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    groups = pd.Series(labels[order]).groupby(labels[order])
    turn, size = groups.cumcount().to_numpy(), groups.transform("size").to_numpy()
    rank = np.lexsort(((turn + 0.5) / size, turn >= AT_LEAST))
    return order[rank][:n]


def _trace(points: pd.DataFrame, name: str, number: int | None) -> dict[str, Any]:
    """Draw a label's points, the `number`-th, or those of all others; a point knows its photo, id
    and label.
    """
    marker: dict[str, Any] = {"color": MUTED, "symbol": "circle-open", "size": 6}
    if number is not None:
        symbol = SYMBOLS[(number + number // len(SERIES)) % len(SYMBOLS)]
        marker = {
            "color": SERIES[number % len(SERIES)],
            "symbol": symbol,
            "size": 7,
            "opacity": 0.85,
        }
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
