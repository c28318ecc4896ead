import numpy as np

from vsearch.reports.html.base import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.pictures import row

FEWEST, MOST = 5, 12  # hits that must agree; queries that are shown


def section(findings: Findings, photos: Photos) -> Section:
    """Return the queries all of whose hits agree on one other label: these may be mislabelled."""
    found = suspects(findings.queries["label"].to_numpy(), findings.hit_labels)
    if not len(found):
        raise LeftOutError(
            "No query has all its hits agree on one other label: none looks mislabelled."
        )
    if "scores" in findings.queries:
        scores = findings.queries["scores"]
        nearness = np.array([-float(np.mean(scores.iloc[place])) for place in found])
        found = found[np.argsort(nearness, kind="stable")]
    return Section(
        {"rows": [row(findings, photos, int(place), 6) for place in found[:MOST]], "n": len(found)},
    )


def suspects(labels: np.ndarray, hits: list[np.ndarray]) -> np.ndarray:
    """Return int (n,): the queries that have FEWEST hits or more, all of one label that isn't
    theirs.

    Args:
        labels: of the queries, (q,).
        hits: each query's hits' labels, best first.
    """
    agree = [
        len(found) >= FEWEST and bool((found == found[0]).all()) and found[0] != label
        for label, found in zip(labels, hits, strict=True)
    ]
    return np.flatnonzero(np.array(agree, dtype=bool))
