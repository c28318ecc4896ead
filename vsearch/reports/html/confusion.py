from dataclasses import dataclass

import numpy as np
import pandas as pd

from vsearch.reports.html.charts import ACCENT, CARD, figure, plain
from vsearch.reports.html.findings import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.picture_rows import PictureRow, picture_row

PAIRS = 20
EXAMPLES = 2  # queries of a pair
DEPTH = 6  # hits of a query
SHOWN = 14  # labels of the heat map


@dataclass(frozen=True)
class Pair:
    """A label and another: `n` of its queries, a `share` of them, have a best hit of the other."""

    id: str
    label: str
    taken: str
    n: int
    share: float
    rows: list[PictureRow]


def section(findings: Findings, photos: Photos) -> Section:
    """Return which labels are mistaken for which, the most frequent first, with examples."""
    queries = findings.queries
    if queries["label"].nunique() < 2 and findings.items["label"].nunique() < 2:
        raise LeftOutError("There is only one label: nothing can be mistaken for it.")

    best = [found[0] if len(found) else None for found in findings.hit_labels]
    table = pd.DataFrame(
        {"label": queries["label"].to_numpy(dtype=object), "best": pd.Series(best, dtype=object)}
    )
    wrong = table[table["best"].notna() & (table["best"] != table["label"])]
    if wrong.empty:
        raise LeftOutError("Every query's best hit is right: nothing was mistaken.")

    counts = wrong.groupby(["label", "best"], sort=True).size()
    counts = counts.sort_values(ascending=False, kind="stable")
    asked = table["label"].value_counts()
    rng = np.random.default_rng(findings.seed)
    pairs = []
    most = counts.head(PAIRS).reset_index(name="n")
    for number, (label, taken, n) in enumerate(most.itertuples(index=False)):
        places = wrong.index[(wrong["label"] == label) & (wrong["best"] == taken)].to_numpy()
        drawn = sorted(rng.permutation(places)[:EXAMPLES])
        rows = [picture_row(findings, photos, int(place), DEPTH) for place in drawn]
        pairs.append(Pair(f"pair-{number}", label, taken, int(n), n / asked[label], rows))
    values = {"pairs": pairs, "wrong": len(wrong), "queries": len(table), "kinds": len(counts)}
    return Section(values, {"heat": _heat(table, pairs)})


def _heat(table: pd.DataFrame, pairs: list[Pair]) -> Figure:
    """Draw the shares of the most confused labels; a cell knows the pair that it opens."""
    labels: list[str] = []
    for pair in pairs:
        labels += [name for name in (pair.label, pair.taken) if name not in labels]
    labels = labels[:SHOWN]

    asked = table["label"].value_counts()
    counts = table.groupby(["label", "best"]).size()
    known = {(pair.label, pair.taken): pair.id for pair in pairs}
    names = [f"{number}. {plain(label, 24)}" for number, label in enumerate(labels, start=1)]
    heat = {
        "type": "heatmap",
        "x": names,  # numbered, so that none repeats
        "y": names,
        "z": [
            [_percent(counts.get((label, best), 0), asked.get(label)) for best in labels]
            for label in labels
        ],
        "customdata": [[known.get((label, best)) for best in labels] for label in labels],
        "colorscale": [[0, CARD], [1, ACCENT]],
        "zmin": 0,
        "zmax": 100,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": "% of queries", "side": "right"}, "thickness": 12},
        "hovertemplate": "query: %{y}<br>best hit: %{x}<br>%{z} % of these queries<extra></extra>",
    }
    category = {"type": "category", "showgrid": False}
    return figure(
        [heat],
        "label of the best hit",
        "label of the query",
        max(320, 130 + 26 * len(labels)),
        xaxis={**category, "tickangle": -40},
        yaxis={**category, "autorange": "reversed"},
    )


def _percent(n: int, queries: int | None) -> float | None:
    return None if queries is None else round(100 * n / queries, 1)
