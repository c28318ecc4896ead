from typing import Any

import numpy as np

from vsearch.reports.calibration_tables import sentences
from vsearch.reports.html.base import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.charts import INK, RIGHT, WRONG, figure, line
from vsearch.reports.html.photos import Photos

BINS = 40


def section(findings: Findings, photos: Photos) -> Section:
    """Return how the scores of right and of wrong hits lie, and the calibrated threshold among
    them.
    """
    if "scores" not in findings.queries:
        raise LeftOutError("This bundle keeps no scores of its queries' hits.")
    labels = findings.queries["label"].to_numpy()
    pairs = [
        (np.asarray(scores, dtype=float), np.asarray(found == label, dtype=bool))
        for scores, found, label in zip(
            findings.queries["scores"], findings.hit_labels, labels, strict=True
        )
    ]
    pairs = [(scores, right) for scores, right in pairs if len(scores)]
    if not pairs:
        raise LeftOutError("No query found anything.")
    threshold = None if findings.calibration is None else findings.calibration.threshold
    first = np.array([scores[0] for scores, _ in pairs]), np.array([right[0] for _, right in pairs])
    every = (
        np.concatenate([scores for scores, _ in pairs]),
        np.concatenate([right for _, right in pairs]),
    )
    figures = {
        "best_hits": _histogram(*first, threshold),
        "all_hits": _histogram(*every, None),
    }
    if findings.calibration is not None:
        figures["probability"] = _probability(findings)
    said = findings.report.get("calibration")
    values = {
        "threshold": threshold,
        "calibrated": findings.calibration is not None,
        "promise": sentences(said) if said else None,
    }
    return Section(values, figures)


def _histogram(scores: np.ndarray, right: np.ndarray, threshold: float | None) -> Figure:
    edges = np.linspace(min(scores.min(), scores.max() - 1e-3), scores.max(), BINS + 1)
    middle, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    bars: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": name,
            "x": middle.tolist(),
            "y": np.histogram(scores[among], edges)[0].tolist(),
            "width": float(width),
            "marker": {"color": colour, "pattern": {"shape": shape, "solidity": 0.35}},
            "hovertemplate": f"cosine %{{x:.3f}}: %{{y}} {name} hits<extra></extra>",
        }
        for name, among, colour, shape in (
            ("right", right, RIGHT, ""),
            ("wrong", ~right, WRONG, "/"),
        )
    ]
    shapes = [] if threshold is None else [_threshold(threshold)]
    return figure(bars, "score (cosine)", "hits", 320, barmode="stack", shapes=shapes)


def _threshold(value: float) -> dict[str, Any]:
    place = {"textposition": "end", "textangle": 0, "xanchor": "right", "yanchor": "top"}
    label = {"text": f"threshold {value:.3f} ", "font": {"color": INK}, **place}
    line = {"color": INK, "dash": "dash", "width": 2}
    return {
        "type": "line",
        "x0": value,
        "x1": value,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": line,
        "label": label,
    }


def _probability(findings: Findings) -> Figure:
    assert findings.calibration is not None
    found = findings.calibration
    x, y = (
        [round(score, 5) for score in found.scores],
        [round(share, 4) for share in found.probabilities],
    )
    drawn = line(x, y, "probability", 0, mode="lines")
    return figure(
        [drawn],
        "score (cosine)",
        "probability that it is right",
        320,
        yaxis={"range": [0, 1.02]},
        showlegend=False,
    )
