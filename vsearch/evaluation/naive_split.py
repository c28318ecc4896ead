from typing import Any

import numpy as np
import pandas as pd

from vsearch.evaluation.scoring import Scores


def leakage(
    items: pd.DataFrame,
    content_hashes: pd.Series,
    queries: pd.Index,
    gallery: pd.Index,
    trained: Scores,
    untrained: Scores | None,
) -> dict[str, Any]:
    """Say what a random split, which pulls identical photos apart, would have claimed for the same
    network.

    Args:
        items: all of the catalog, with `label_code` and `split`.
        content_hashes: of each item's pixels.
        queries: rows of `items` that searched.
        gallery: rows of `items` that were searched: the train part.
        trained: how the queries scored.
        untrained: the same before training; None if that was not measured.

    Returns:
        queries that have an exact copy anywhere in the catalog, those whose copy is in the gallery
        even so, and precision@1 as measured (clean) and as claimed (naive), trained and untrained.
        Nothing where no query has a copy.
    """
    rows = queries.to_numpy()[trained.answered]
    copies, right = count_copies(content_hashes, items["label_code"], rows)
    if not copies.any():
        return {}
    kept, _ = count_copies(content_hashes, items["label_code"], rows, gallery)
    share = float((items["split"] == "train").mean())
    sides = {"trained": trained, "untrained": untrained}
    measured = {
        name: side.model["precision_at_1"] for name, side in sides.items() if side is not None
    }
    return {
        "queries_with_copies": int((copies > 0).sum()),
        "queries_with_copies_in_gallery": int((kept > 0).sum()),
        "clean_precision_at_1": {name: float(found.mean()) for name, found in measured.items()},
        "naive_precision_at_1": {
            name: float(claimed(found, copies, right, share).mean())
            for name, found in measured.items()
        },
    }


def count_copies(
    hashes: pd.Series, labels: pd.Series, rows: np.ndarray, among: pd.Index | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for the items in `rows`, how many others have the same pixels, and how many of those
    the same label.

    Args:
        hashes: of each item's pixels, indexed by row.
        labels: likewise.
        rows: int (q,).
        among: rows that count; None: all.
    """
    table = pd.DataFrame(
        {
            "hash": hashes,
            "label": labels,
            "counts": 1 if among is None else hashes.index.isin(among),
        }
    )
    table["counts"] = table["counts"].astype(int)
    same = table.groupby("hash")["counts"].transform("sum") - table["counts"]
    alike = table.groupby(["hash", "label"])["counts"].transform("sum") - table["counts"]
    return same.loc[rows].to_numpy(), alike.loc[rows].to_numpy()


def claimed(
    precision_at_1: np.ndarray, copies: np.ndarray, right: np.ndarray, train_share: float
) -> np.ndarray:
    """Return what precision@1 of each query is expected to be if its copies may lie in the gallery.

    A random split puts each copy into the train part with probability `train_share`. If any is
    there, the nearest hit is one of them, each as likely as the other: right for those of the
    query's label.

    Args:
        precision_at_1: 0 or 1, (q,), without copies in the gallery.
        copies: int (q,), others with the same pixels; `right`, int (q,): those of the same label.
        train_share: 0..1.
    """
    found = 1 - (1 - train_share) ** copies
    return found * right / np.maximum(copies, 1) + (1 - found) * precision_at_1
