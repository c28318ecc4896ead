from collections.abc import Iterator

import numpy as np
import pandas as pd

from vsearch.evaluation.catalog_check.base import Finding, Limits


def label_findings(items: pd.DataFrame, good: np.ndarray, limits: Limits) -> Iterator[Finding]:
    """Yield the labels that have too few photos, counting only those that can be read: `good`, int
    (m,) rows.
    """
    rows = {label: np.asarray(own) for label, own in items.groupby("label").indices.items()}
    readable = set(good.tolist())
    for label, own in rows.items():
        count = sum(row in readable for row in own.tolist())
        if count < limits.min_images:
            yield Finding(
                "few",
                tuple(own.tolist()),
                count,
                f"{label!r} has {count}, {limits.min_images} are asked for",
            )


def id_findings(items: pd.DataFrame) -> Iterator[Finding]:
    """Yield the ids that several items share."""
    for id, own in items.groupby("id").indices.items():
        if len(own) > 1:
            yield Finding(
                "repeated-id",
                tuple(np.asarray(own).tolist()),
                len(own),
                f"{len(own)} items are {id!r}",
            )
