import numpy as np
import pandas as pd

from vsearch.reports.html.base import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.charts import ACCENT, figure, plain
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.pictures import row

PAIRS, EXAMPLES, DEPTH = 20, 2, 6
SHOWN = 14  # labels of the heat map


def section(findings: Findings, photos: Photos) -> Section:
    """Return which label's queries have a best hit of which other label, the most frequent first,
    with examples.
    """
    queries = findings.queries
    if queries["label"].nunique() < 2 and findings.items["label"].nunique() < 2:
        raise LeftOutError("There is one label only: nothing can be mistaken.")
    best = pd.Series(
        [found[0] if len(found) else None for found in findings.hit_labels], dtype=object
    )
    table = pd.DataFrame({"label": queries["label"].to_numpy(dtype=object), "best": best})
    wrong = table[table["best"].notna() & (table["best"] != table["label"])]
    if wrong.empty:
        raise LeftOutError("Every query's best hit is right: nothing was mistaken.")
    counts = (
        wrong.groupby(["label", "best"], sort=True)
        .size()
        .sort_values(ascending=False, kind="stable")
    )
    asked = table["label"].value_counts()
    rng = np.random.default_rng(findings.seed)
    pairs = []
    for number, (label, taken, n) in enumerate(
        counts.head(PAIRS).reset_index(name="n").itertuples(index=False)
    ):
        places = wrong.index[(wrong["label"] == label) & (wrong["best"] == taken)].to_numpy()
        drawn = sorted(rng.permutation(places)[:EXAMPLES])
        examples = [row(findings, photos, int(place), DEPTH) for place in drawn]
        share = n / asked[label]
        pairs.append(
            {
                "id": f"pair-{number}",
                "label": label,
                "taken": taken,
                "n": int(n),
                "share": share,
                "rows": examples,
            }
        )
    values = {"pairs": pairs, "wrong": len(wrong), "queries": len(table), "kinds": len(counts)}
    return Section(values, {"heat": _heat(table, pairs)})


def _heat(table: pd.DataFrame, pairs: list[dict]) -> Figure:
    """Draw the shares of the labels that are confused most; a cell knows the pair that it opens."""
    labels = list(
        dict.fromkeys(label for pair in pairs for label in (pair["label"], pair["taken"]))
    )[:SHOWN]
    asked = table["label"].value_counts()
    counts = table.groupby(["label", "best"]).size()
    shares = [
        [counts.get((label, best), 0) / asked[label] if label in asked else None for best in labels]
        for label in labels
    ]
    known = {(pair["label"], pair["taken"]): pair["id"] for pair in pairs}
    names = [
        f"{number}. {plain(label, 24)}" for number, label in enumerate(labels, start=1)
    ]  # never twice the same
    heat = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": [
            [None if share is None else round(100 * share, 1) for share in line] for line in shares
        ],
        "customdata": [[known.get((label, best)) for best in labels] for label in labels],
        "colorscale": [[0, "var:card"], [1, ACCENT]],
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
