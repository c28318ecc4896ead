from itertools import chain, zip_longest

import numpy as np
import pandas as pd

from vsearch.training.samplers.base import BatchPlan

NO_CATEGORIES = {"id", "path", "label", "label_code", "split", "x_1", "y_1", "x_2", "y_2"}


class CategoryPlan(BatchPlan):
    """PK batches from a few categories: the negatives of a shirt are other tops, not watches.

    After open-metric-learning's CategoryBalanceSampler. Each batch draws C categories, without
    replacement, in proportion to their numbers of labels, so that labels of small categories don't
    come far more often than others. Then it draws labels from these categories in turn, P in all,
    P/C of each if possible. If a category has too few, the other chosen ones give more, and then
    further ones. Each label gives K photos, or all it has.

    A label with photos in several categories belongs to the most frequent one (on a tie, the first
    by name). Empty values don't count; labels with only empty values form one category. If every
    label has its own category, the batches are PK batches.

    Args:
        column: a metadata column of the catalog, coarser than the label: masterCategory for
            articleType.
        categories_per_batch: C; a larger number than there are categories means all.
    """

    def __init__(self, column: str, categories_per_batch: int = 2) -> None:
        self.column = column
        self.categories_per_batch = categories_per_batch

    def check(self, items: pd.DataFrame) -> None:
        """Refuse a column that is missing or empty."""
        if self.categories_per_batch < 1:
            raise ValueError(
                f"`data.sampler.init_args.categories_per_batch` is {self.categories_per_batch}: "
                "set it to 1 or more."
            )
        key = "`data.sampler.init_args.column`"
        has = f"the catalog has {[column for column in items if column not in NO_CATEGORIES]}."
        if self.column not in items:
            raise ValueError(f"{key}: there is no column '{self.column}'; {has}")
        if not _values(items[self.column]).notna().any():
            raise ValueError(f"{key}: the column '{self.column}' is empty; {has}")

    def epoch(
        self, labels: np.ndarray, items: pd.DataFrame, p: int, k: int, rng: np.random.Generator
    ) -> list[list[int]]:
        """Draw each batch's categories, the labels of each, and the photos of each label."""
        codes = np.unique(labels, return_inverse=True)[1]
        photos_of = _positions(codes)
        categories = members(codes, items[self.column])
        batches = []
        for _ in range(len(labels) // (p * k)):
            batch: list[int] = []
            for label in self._draw_labels(categories, p, rng):
                photos = photos_of[label]
                batch += rng.choice(photos, min(k, len(photos)), replace=False).tolist()
            batches.append(batch)
        return batches

    def _draw_labels(
        self, categories: list[np.ndarray], p: int, rng: np.random.Generator
    ) -> list[int]:
        sizes = np.array([len(category) for category in categories])
        order = rng.choice(len(categories), len(categories), replace=False, p=sizes / sizes.sum())
        shuffled = (rng.permutation(categories[category]).tolist() for category in order)
        chosen = [next(shuffled) for _ in order[: self.categories_per_batch]]

        in_turn = chain.from_iterable(zip_longest(*chosen))
        drawn = [label for label in in_turn if label is not None]
        while len(drawn) < p and (further := next(shuffled, None)):
            drawn += further
        return drawn[:p]


def members(codes: np.ndarray, column: pd.Series) -> list[np.ndarray]:
    """Return each category's labels, from each photo's label code, int (n,), and its category."""
    photos = pd.DataFrame({"label": codes, "category": _values(column).to_numpy()})
    votes = photos.groupby(["label", "category"]).size()
    best = votes.groupby(level="label").idxmax().str[1].reindex(range(codes.max() + 1))
    return _positions(pd.factorize(best, use_na_sentinel=False)[0])


def _positions(codes: np.ndarray) -> list[np.ndarray]:
    """Return the positions of each code, 0 to the largest."""
    ends = np.cumsum(np.bincount(codes))
    return np.split(np.argsort(codes, kind="stable"), ends[:-1])


def _values(column: pd.Series) -> pd.Series:
    return column.where(column != "")
