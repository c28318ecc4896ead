from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vsearch.evaluation.axes import Attributes
from vsearch.evaluation.comparing.paired_bootstrap import paired_bootstrap
from vsearch.evaluation.metrics import DEPTH
from vsearch.evaluation.scoring import Embedded, exact_index, relevant, top_hits
from vsearch.indexes.base import Index
from vsearch.indexes.choice import AXIS, Loss, Losses

RESAMPLES = 1000
LABEL = "label"


@dataclass(frozen=True)
class LabelJudge:
    """Tells what users lose by an index, with queries that were never trained on.

    Attributes:
        asked: these queries.
        gallery: the items that the index holds, or is to hold.
        known: label and further axes of both, in their order.
    """

    asked: Embedded
    gallery: Embedded
    known: Attributes

    @property
    def queries(self) -> np.ndarray:
        """The queries' embeddings, float32 (q, dim)."""
        return self.asked.embeddings

    def by_vector(self, vectors: np.ndarray) -> "LabelJudge":
        """Return a judge of indexes whose rows are all vectors of the items, (n, per_item, dim)."""
        per_item = vectors.shape[1]
        gallery = Embedded(
            vectors.reshape(-1, vectors.shape[2]),
            np.repeat(self.gallery.labels, per_item),
            np.repeat(self.gallery.keys, per_item),
        )
        known = replace(self.known, gallery=np.repeat(self.known.gallery, per_item, axis=0))
        return LabelJudge(self.asked, gallery, known)

    def among(self, rows: np.ndarray) -> Callable[[Index], Losses]:
        """Return what judges indexes that hold these rows of the gallery, in this order.

        A query whose label, or value on an axis, these rows lack is left out there.
        """
        gallery = self.gallery.take(rows)
        exact = top_hits(exact_index(gallery), self.asked, gallery)
        best = self.shares(exact, rows)

        def losses(index: Index) -> Losses:
            hits = exact if index.exact else top_hits(index, self.asked, gallery)
            return lost(self.shares(hits, rows), best)

        return losses

    def shares(self, hits: np.ndarray, rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Return the `shares` of hits (q, k) among these rows, by `label` or axis, and metric."""
        found = {}
        for column, name in enumerate(self.known.names):
            wanted = self.known.queries[:, column]
            found[name] = shares(hits, wanted, self.known.gallery[rows, column], name)
        return found


def shares(
    hits: np.ndarray, wanted: np.ndarray, values: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """Return how much of what each query wants is among its best hits, float (answerable,).

    Of the label: precision_at_1 and precision_at_10; of an axis its share among the ten best,
    `axis/<name>_at_10`. A place that stays empty counts as a miss.

    Args:
        hits: positions (q, k), best first, -1 after the last.
        wanted: int (q,), codes of each query's value; -1: none.
        values: int (n,), the items' codes.
        name: `label`, or the axis's.
    """
    answerable = (wanted >= 0) & np.isin(wanted, values)
    right = relevant(hits[answerable], wanted[answerable], values)
    ten = right[:, :DEPTH].sum(axis=1) / DEPTH
    if name != LABEL:
        return {f"{AXIS}{name}_at_{DEPTH}": ten}
    return {"precision_at_1": right[:, 0].astype(float), f"precision_at_{DEPTH}": ten}


def lost(found: dict[str, dict[str, np.ndarray]], best: dict[str, dict[str, np.ndarray]]) -> Losses:
    """Return by how much each metric of each `LabelJudge.shares` falls below the best ones."""
    losses: Losses = {}
    for name, values in found.items():
        losses.update(falls(values, best[name]))
    return losses


def falls(found: dict[str, np.ndarray], kept: dict[str, np.ndarray]) -> Losses:
    """Return by how much each metric falls, with the paired interval over queries."""
    n = len(next(iter(found.values())))
    if n == 0:
        return {}
    differences = paired_bootstrap(found, kept, np.zeros(n, dtype=int), RESAMPLES)
    return {
        metric: Loss(0 - each["micro"].value, 0 - each["micro"].high, 0 - each["micro"].low)
        for metric, each in differences.items()
    }
