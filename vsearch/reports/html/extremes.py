from collections.abc import Iterable

import numpy as np

from vsearch.reports.html.base import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.pictures import Row, row

N, METRICS = 5, ("map_at_r", "ndcg_at_10", "precision_at_1")


def section(findings: Findings, photos: Photos) -> Section:
    """Return the queries that found most, those in the middle and those that found least, as rows
    of pictures.
    """
    metric = next((name for name in METRICS if name in findings.queries), None)
    if metric is None:
        raise LeftOutError("This bundle keeps no metric of its queries.")
    values = findings.queries[metric].to_numpy(dtype=float)
    order = np.lexsort(
        (np.random.default_rng(findings.seed).permutation(len(values)), values)
    )  # ties drawn
    middle = np.abs(np.arange(len(order)) - (len(order) - 1) / 2)
    groups = {
        "best": order[::-1],
        "median": order[np.argsort(middle, kind="stable")],
        "worst": order,
    }
    labels = findings.queries["label"].to_numpy()
    drawn: dict[str, list[Row]] = {}
    for name, places in groups.items():
        chosen = _of_other_labels(places, labels)
        drawn[name] = [
            row(findings, photos, place, note=f"{values[place]:.3f}") for place in chosen
        ]
    return Section({"groups": drawn, "metric": metric})


def _of_other_labels(places: Iterable[int], labels: np.ndarray, n: int = N) -> list[int]:
    """Return the first `n` places whose labels differ, then, where there are fewer labels, those
    skipped.
    """
    first: dict[str, int] = {}
    skipped: list[int] = []
    for place in map(int, places):
        if labels[place] in first:
            skipped.append(place)
        else:
            first[labels[place]] = place
        if len(first) == n:
            break
    return [*first.values(), *skipped][:n]
