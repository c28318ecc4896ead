from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from vsearch.data.catalogs.base import Catalog
from vsearch.data.splits import Split


@dataclass(frozen=True)
class SplitData:
    """A catalog that was read and split.

    Attributes:
        items: with `label`, `label_code` and `split`; identical photos lie in one part.
        content_hashes: hash of each item's pixels, indexed like `items`.
        skipped: photos that could not be read: id, label, error.
        label_names: by label code.
        queries: the items that searched.
        gallery: the items that were searched.
        measured_on: the part that searched.
        batch_seed: the seed of the batches.
        group: the column of the products; None: each photo is one.
        fuse: a product's score: that of its `best` photo, or the `mean` over its photos.
    """

    catalog: Catalog
    split: Split
    items: pd.DataFrame
    content_hashes: pd.Series
    skipped: pd.DataFrame
    label_names: Sequence[str]
    queries: pd.DataFrame
    gallery: pd.DataFrame
    measured_on: str
    batch_seed: int | None
    group: str | None = None
    fuse: str = "best"
