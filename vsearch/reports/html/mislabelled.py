import numpy as np

from vsearch.reports.html.findings import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.picture_rows import picture_row

FEWEST = 5  # hits that must agree
MOST = 12  # shown queries
DEPTH = 6  # hits of each


def section(findings: Findings, photos: Photos) -> Section:
    """Return the queries whose hits all have one other label: they may be mislabelled."""
    found = suspects(findings.queries["label"].to_numpy(), findings.hit_labels)
    if not len(found):
        raise LeftOutError(
            "No query looks mislabelled: in none do all hits agree on one other label."
        )
    if "scores" in findings.queries:
        scores = findings.queries["scores"].iloc[found]
        found = found[np.argsort([-np.mean(own) for own in scores], kind="stable")]
    rows = [picture_row(findings, photos, int(place), DEPTH) for place in found[:MOST]]
    return Section({"rows": rows, "n": len(found)})


def suspects(labels: np.ndarray, hits: list[np.ndarray]) -> np.ndarray:
    """Return the queries, int (n,), with at least FEWEST hits, all of one label that isn't theirs.

    `hits` are the labels of each query's hits.
    """
    agree = [
        len(found) >= FEWEST and found[0] != label and bool((found == found[0]).all())
        for label, found in zip(labels, hits, strict=True)
    ]
    return np.flatnonzero(np.array(agree, dtype=bool))
