from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ValidationProtocol:
    """How a catalog's photos are searched in validation and test.

    Attributes:
        queries: rows of the val photos that search, int (q,).
        gallery: rows that they search, int (n,).
        exclusion_keys: int (n_items,), one per row; hits that share the query's key don't count.
        classes_per_batch, photos_per_class, seed: settings of the PK batches for `val/loss`.
    """

    queries: np.ndarray
    gallery: np.ndarray
    exclusion_keys: np.ndarray
    classes_per_batch: int
    photos_per_class: int
    seed: int
