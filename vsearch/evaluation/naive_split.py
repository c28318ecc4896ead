from dataclasses import dataclass

import numpy as np
import pandas as pd

from vsearch.evaluation.scoring import Scores
from vsearch.evaluation.split_data import SplitData


@dataclass(frozen=True)
class NaiveSplitClaims:
    """What a random split would have claimed for the same network.

    Attributes:
        queries_with_copies: queries that have an exact copy anywhere in the catalog.
        queries_with_copies_in_gallery: those whose copy is in the gallery in this split, too.
        clean_precision_at_1: measured, for `trained` and maybe `untrained`.
        naive_precision_at_1: claimed, for the same.
    """

    queries_with_copies: int
    queries_with_copies_in_gallery: int
    clean_precision_at_1: dict[str, float]
    naive_precision_at_1: dict[str, float]


def claims_of_a_naive_split(
    data: SplitData, trained: Scores, untrained: Scores | None
) -> NaiveSplitClaims | None:
    """Return what a random split, which separates identical photos, would have claimed.

    None if no query has a copy, or if queries don't search the train part.
    """
    if data.split.gallery != "train" or "is_gallery" in data.items:
        return None
    hashes = data.content_hashes
    labels = data.items["label_code"]
    asked = data.queries.index.to_numpy()[trained.answered]
    copies, right = count_copies(hashes, labels, asked)
    if not copies.any():
        return None

    in_gallery, _ = count_copies(hashes, labels, asked, data.gallery.index)
    train_share = float((data.items["split"] == "train").mean())
    clean = {}
    naive = {}
    for name, scores in (("trained", trained), ("untrained", untrained)):
        if scores is not None:
            measured = scores.model["precision_at_1"]
            clean[name] = float(measured.mean())
            naive[name] = float(claimed(measured, copies, right, train_share).mean())
    return NaiveSplitClaims(int((copies > 0).sum()), int((in_gallery > 0).sum()), clean, naive)


def count_copies(
    hashes: pd.Series, labels: pd.Series, rows: np.ndarray, among: pd.Index | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count, for `rows`, other items with the same pixels, and those of them with the same label.

    `hashes` of pixels and `labels` are indexed by row; only rows in `among` count, None: all.
    """
    counts = np.ones(len(hashes), int) if among is None else hashes.index.isin(among).astype(int)
    table = pd.DataFrame({"hash": hashes, "label": labels, "counts": counts})
    same = table.groupby("hash")["counts"].transform("sum") - counts
    alike = table.groupby(["hash", "label"])["counts"].transform("sum") - counts
    return same.loc[rows].to_numpy(), alike.loc[rows].to_numpy()


def claimed(
    precision_at_1: np.ndarray, copies: np.ndarray, right: np.ndarray, train_share: float
) -> np.ndarray:
    """Return the expected precision@1 of each query if its copies may be in the gallery.

    A random split puts each copy into the train part with probability `train_share`. If any is
    there, the nearest hit is one of them, all equally likely; it is right if it has the query's
    label.

    Args:
        precision_at_1: 0 or 1, (q,), without copies in the gallery.
        copies: int (q,), others with the same pixels.
        right: int (q,), those of the same label.
        train_share: 0..1.
    """
    found = 1 - (1 - train_share) ** copies
    return found * right / np.maximum(copies, 1) + (1 - found) * precision_at_1
