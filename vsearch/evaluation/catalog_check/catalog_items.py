from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class CatalogItems:
    """All items of a catalog before any check.

    Attributes:
        name: where they are from.
        items: id, path, label (text), metadata. Photos may be missing, ids may be repeated.
        left_out: number of rows that the catalog itself leaves out, by reason: {"filtered": 3}.
    """

    name: str
    items: pd.DataFrame
    left_out: dict[str, int]
