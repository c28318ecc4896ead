from dataclasses import dataclass

import numpy as np
import pandas as pd

from vsearch.evaluation.scoring import Scores


@dataclass(frozen=True)
class SplitCatalog:
    """A catalog whose identical photos lie in one part.

    Attributes:
        items: with `label_code` and `split`.
        content_hashes: of each item's pixels, indexed as `items`.
        queries: rows of `items` that searched.
        gallery: rows of `items` that were searched: the train part.
    """

    items: pd.DataFrame
    content_hashes: pd.Series
    queries: pd.Index
    gallery: pd.Index


@dataclass(frozen=True)
class NaiveSplitClaims:
    """What a random split would have claimed for the same network.

    Attributes:
        queries_with_copies: queries that have an exact copy anywhere in the catalog.
        queries_with_copies_in_gallery: those whose copy is in the gallery even so.
        clean_precision_at_1: as measured, `trained` and maybe `untrained`.
        naive_precision_at_1: as claimed, likewise.
    """

    queries_with_copies: int
    queries_with_copies_in_gallery: int
    clean_precision_at_1: dict[str, float]
    naive_precision_at_1: dict[str, float]


def claims_of_a_naive_split(
    catalog: SplitCatalog, trained: Scores, untrained: Scores | None
) -> NaiveSplitClaims | None:
    """Say what a random split, which pulls identical photos apart, would have claimed.

    None where no query has a copy.
    """
    hashes = catalog.content_hashes
    labels = catalog.items["label_code"]
    asked = catalog.queries.to_numpy()[trained.answered]
    copies, right = count_copies(hashes, labels, asked)
    if not copies.any():
        return None

    in_gallery, _ = count_copies(hashes, labels, asked, catalog.gallery)
    train_share = float((catalog.items["split"] == "train").mean())
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
    """Count other items with the same pixels, and those of them with the same label, for `rows`.

    `hashes` of pixels and `labels` are indexed by row; `among` are the rows that count, None: all.
    """
    counts = np.ones(len(hashes), int) if among is None else hashes.index.isin(among).astype(int)
    table = pd.DataFrame({"hash": hashes, "label": labels, "counts": counts})
    same = table.groupby("hash")["counts"].transform("sum") - counts
    alike = table.groupby(["hash", "label"])["counts"].transform("sum") - counts
    return same.loc[rows].to_numpy(), alike.loc[rows].to_numpy()


def claimed(
    precision_at_1: np.ndarray, copies: np.ndarray, right: np.ndarray, train_share: float
) -> np.ndarray:
    """Expect precision@1 of each query if its copies may lie in the gallery.

    A random split puts each copy into the train part with probability `train_share`. If any is
    there, the nearest hit is one of them, each as likely as the other: right for those of the
    query's label.

    Args:
        precision_at_1: 0 or 1, (q,), without copies in the gallery.
        copies: int (q,), others with the same pixels.
        right: int (q,), those of the same label.
        train_share: 0..1.
    """
    found = 1 - (1 - train_share) ** copies
    return found * right / np.maximum(copies, 1) + (1 - found) * precision_at_1
