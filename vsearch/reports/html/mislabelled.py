import numpy as np

from vsearch.reports.html.findings import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.picture_rows import picture_row

FEWEST = 5  # hits that must agree
MOST = 12  # queries that are shown
DEPTH = 6  # hits of each


def section(findings: Findings, photos: Photos) -> Section:
    """Return the queries all of whose hits agree on one other label: these may be mislabelled."""
    found = suspects(findings.queries["label"].to_numpy(), findings.hit_labels)
    if not len(found):
        raise LeftOutError(
            "No query has all its hits agree on one other label: none looks mislabelled."
        )
    if "scores" in findings.queries:
        scores = findings.queries["scores"].iloc[found]
        found = found[np.argsort([-np.mean(own) for own in scores], kind="stable")]
    rows = [picture_row(findings, photos, int(place), DEPTH) for place in found[:MOST]]
    return Section({"rows": rows, "n": len(found)})


def suspects(labels: np.ndarray, hits: list[np.ndarray]) -> np.ndarray:
    """Return int (n,): the queries with FEWEST hits or more, all of one label that isn't theirs.

    `hits` are the labels of each query's hits.
    """
    agree = [
        len(found) >= FEWEST and found[0] != label and bool((found == found[0]).all())
        for label, found in zip(labels, hits, strict=True)
    ]
    return np.flatnonzero(np.array(agree, dtype=bool))
