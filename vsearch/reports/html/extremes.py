from collections.abc import Iterable

import numpy as np

from vsearch.reports.html.findings import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.picture_rows import picture_row

ROWS = 5  # of each kind
METRICS = ("map_at_r", "ndcg_at_10", "precision_at_1")  # uses the first that the queries have


def section(findings: Findings, photos: Photos) -> Section:
    """Return the best, the median and the worst queries."""
    metric = next((name for name in METRICS if name in findings.queries), None)
    if metric is None:
        raise LeftOutError("This bundle has no metrics of single queries.")

    values = findings.queries[metric].to_numpy(dtype=float)
    ties = np.random.default_rng(findings.seed).permutation(len(values))
    order = np.lexsort((ties, values))
    from_middle = np.abs(np.arange(len(order)) - (len(order) - 1) / 2)
    kinds = {
        "Best": order[::-1],
        "In the middle": order[np.argsort(from_middle, kind="stable")],
        "Worst": order,
    }
    labels = findings.queries["label"].to_numpy()
    groups = {}
    for title, places in kinds.items():
        groups[title] = [
            picture_row(findings, photos, place, note=f"{values[place]:.3f}")
            for place in _of_other_labels(places, labels)
        ]
    return Section({"groups": groups, "metric": metric})


def _of_other_labels(places: Iterable[int], labels: np.ndarray) -> list[int]:
    """Return the first ROWS places of different labels, filled up with others if too few."""
    first: dict[str, int] = {}
    skipped: list[int] = []
    for place in map(int, places):
        if first.setdefault(labels[place], place) != place:
            skipped.append(place)
    return [*first.values(), *skipped][:ROWS]
