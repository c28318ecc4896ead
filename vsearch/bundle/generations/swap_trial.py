from dataclasses import dataclass

import numpy as np

from vsearch.errors import Failed
from vsearch.indexes.base import Index

DEPTH = 10


@dataclass(frozen=True)
class Queries:
    """Queries to test an index with.

    Attributes:
        embeddings: float32 (q, dim), unit length.
        labels: text (q,).
        own: int (q,), each query's own row among the items, which doesn't count as a hit; -1: none.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    own: np.ndarray

    def __len__(self) -> int:
        return len(self.own)


@dataclass(frozen=True)
class Shadow:
    """How a new index answers compared with the old one; all between 0 and 1.

    Attributes:
        overlap_at_10: share of the old index's 10 best that are among the new one's.
        old: `precision_at_1` and `precision_at_10`: share of hits with the query's label.
        new: the same for the new index.
    """

    queries: int
    overlap_at_10: float
    old: dict[str, float]
    new: dict[str, float]

    def check(self, min_overlap: float, max_precision_loss: float) -> None:
        """Raise Failed, with the reasons, if a new index's answers differ too much or are worse."""
        reasons = []
        if self.overlap_at_10 < min_overlap:
            reasons.append(f"overlap_at_10 is {self.overlap_at_10:.4f}, below {min_overlap:g}")
        for name, before in self.old.items():
            loss = before - self.new[name]
            if loss > max_precision_loss:
                reasons.append(f"{name} falls by {loss:.4f}, more than {max_precision_loss:g}")
        if reasons:
            raise Failed(f"the new index was rejected: {'; '.join(reasons)}. Nothing was changed.")


def shadow(old: Index, new: Index, queries: Queries, labels: np.ndarray) -> Shadow:
    """Run the same queries on two indexes of the same items, with text labels (n,)."""
    before = hits(old, queries)
    after = hits(new, queries)
    return Shadow(
        queries=len(queries),
        overlap_at_10=overlap(before, after),
        old=precisions(before, queries.labels, labels),
        new=precisions(after, queries.labels, labels),
    )


def hits(index: Index, queries: Queries) -> np.ndarray:
    """Return int (q, up to 10): each query's best positions except its own; -1 after the last."""
    _, positions = index.search(queries.embeddings, DEPTH + 1)
    positions = np.where(positions == queries.own[:, None], -1, positions)
    order = np.argsort(positions < 0, axis=1, kind="stable")
    return np.take_along_axis(positions, order, axis=1)[:, :DEPTH]


def overlap(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean share of a query's `hits` before, int (q, k), that are also hits after."""
    there = before >= 0
    found = there & (before[:, :, None] == after[:, None, :]).any(axis=2)
    return float((found.sum(axis=1) / np.maximum(1, there.sum(axis=1))).mean())


def precisions(found: np.ndarray, wanted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the share of `hits`, int (q, 10), with the query's label: of the best, of all ten."""
    right = (found >= 0) & (labels[found] == wanted[:, None])
    return {"precision_at_1": float(right[:, 0].mean()), "precision_at_10": float(right.mean())}
