import numpy as np

from vsearch.evaluation.calibration import Calibration
from vsearch.reports.calibration_tables import sentences
from vsearch.reports.html.charts import INK, RIGHT, WRONG, bar, figure, line, upright
from vsearch.reports.html.findings import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos

BINS = 40


def section(findings: Findings, photos: Photos) -> Section:
    """Return the distribution of right and wrong hits' scores, and the threshold."""
    queries = findings.queries
    if "scores" not in queries:
        raise LeftOutError("This bundle has no scores of its queries' hits.")
    scores = [np.asarray(own, dtype=float) for own in queries["scores"] if len(own)]
    if not scores:
        raise LeftOutError("No query found anything.")
    right = [
        np.asarray(found == label, dtype=bool)
        for found, label in zip(findings.hit_labels, queries["label"], strict=True)
        if len(found)
    ]

    calibration = findings.calibration
    threshold = None if calibration is None else calibration.threshold
    best = np.array([own[0] for own in scores])
    best_right = np.array([own[0] for own in right])
    figures = {
        "best_hits": _histogram(best, best_right, threshold),
        "all_hits": _histogram(np.concatenate(scores), np.concatenate(right), None),
    }
    if calibration is not None:
        figures["probability"] = _probability(calibration)
    said = findings.report.calibration
    return Section(
        {"threshold": threshold, "promise": "" if said is None else sentences(said)}, figures
    )


def _histogram(scores: np.ndarray, right: np.ndarray, threshold: float | None) -> Figure:
    edges = np.linspace(min(scores.min(), scores.max() - 1e-3), scores.max(), BINS + 1)
    bars = [
        bar(
            name,
            colour,
            pattern,
            x=((edges[:-1] + edges[1:]) / 2).tolist(),
            y=np.histogram(scores[among], edges)[0].tolist(),
            width=float(edges[1] - edges[0]),
            hovertemplate=f"cosine %{{x:.3f}}: %{{y}} {name} hits<extra></extra>",
        )
        for name, among, colour, pattern in (
            ("right", right, RIGHT, ""),
            ("wrong", ~right, WRONG, "/"),
        )
    ]
    shapes = []
    if threshold is not None:
        place = {"textposition": "end", "textangle": 0, "xanchor": "right", "yanchor": "top"}
        shapes.append(upright(threshold, f"threshold {threshold:.3f} ", INK, "dash", **place))
    return figure(bars, "score (cosine)", "hits", 320, barmode="stack", shapes=shapes)


def _probability(calibration: Calibration) -> Figure:
    drawn = line(
        [round(score, 5) for score in calibration.scores],
        [round(share, 4) for share in calibration.probabilities],
        "probability",
        0,
        mode="lines",
    )
    axis = {"range": [0, 1.02]}
    title = "probability that it is right"
    return figure([drawn], "score (cosine)", title, 320, yaxis=axis, showlegend=False)
