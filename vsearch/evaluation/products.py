from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from vsearch.evaluation.axes import codes_of
from vsearch.evaluation.metrics import DEPTH, chance, per_query
from vsearch.evaluation.scoring import Embedded, Scores, chunks

# A query has one right product, so its MAP@R and R-precision equal precision@1
METRICS = ("precision_at_1", "cmc_at_5", "cmc_at_10", "ndcg_at_10")


@dataclass(frozen=True)
class ProductScores:
    """How well photos find their product by its other photos, with exact search.

    Attributes:
        best: scores if a product is ranked by its best photo.
        mean: scores if it is ranked by the mean over its photos.
        products: how many there are, photos without a product included.
    """

    best: Scores
    mean: Scores
    products: int


def score_products(
    queries: Embedded,
    gallery: Embedded,
    query_items: pd.DataFrame,
    gallery_items: pd.DataFrame,
    group: str,
) -> ProductScores:
    """Let each query find its product among all photos of queries and gallery.

    A query's own photo, and photos that share its key, don't count. Queries whose product has no
    other photo are left out as unanswerable. Equal scores count against the query.

    Args:
        query_items: the items of `queries`, in order; their index says which are in the gallery.
        gallery_items: the same of `gallery`.
        group: the column whose equal values are photos of one product; without a value a photo is a
            product.
    """
    new = np.flatnonzero(~query_items.index.isin(gallery_items.index))
    items = pd.concat([gallery_items[group], query_items[group]], ignore_index=True)
    product = codes_of(items)
    asked_for = product[len(gallery) :]
    product = np.concatenate([product[: len(gallery)], asked_for[new]])
    alone = np.flatnonzero(product < 0)
    product[alone] = product.max(initial=-1) + 1 + np.arange(len(alone))

    vectors = np.concatenate([gallery.embeddings, queries.embeddings[new]])
    keys = np.concatenate([gallery.keys, queries.keys[new]])
    photos = _Photos.of(vectors, keys, product)

    own = np.searchsorted(photos.products, asked_for)  # without a product: any, and no answer
    answerable = asked_for >= 0
    by_best = np.zeros(len(queries), int)
    by_mean = np.zeros(len(queries), int)
    found = np.zeros(len(queries), int)
    for chunk in chunks(len(queries), len(keys)):
        best, mean = photos.scores(queries.take(chunk))
        mine = (np.arange(len(chunk)), own[chunk])
        answerable[chunk] &= np.isfinite(best[mine])
        by_best[chunk] = np.count_nonzero(best >= best[mine][:, None], axis=1)
        by_mean[chunk] = np.count_nonzero(mean >= mean[mine][:, None], axis=1)
        found[chunk] = np.count_nonzero(np.isfinite(best), axis=1)

    answered = np.flatnonzero(answerable)

    def scored(ranks: np.ndarray) -> Scores:
        one = np.ones(len(answered), int)
        model = per_query(ranks[answered, None] == np.arange(1, DEPTH + 1), one)
        expected = chance(one, found[answered])
        return Scores(
            model={name: model[name] for name in METRICS},
            chance={name: expected[name] for name in METRICS},
            labels=queries.labels[answered],
            answered=answered,
            unanswerable=len(queries) - len(answered),
        )

    return ProductScores(scored(by_best), scored(by_mean), len(photos.products))


@dataclass(frozen=True)
class _Photos:
    """Photos in the order of their products.

    Attributes:
        vectors: float32 (n, dim), unit length.
        keys: int (n,).
        products: int (m,), rising.
        starts: int (m,), each product's first photo.
    """

    vectors: np.ndarray
    keys: np.ndarray
    products: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, keys: np.ndarray, product: np.ndarray) -> Self:
        """Order photos by int (n,) `product`."""
        order = np.argsort(product, kind="stable")
        products, starts = np.unique(product[order], return_index=True)
        return cls(vectors[order], keys[order], products, starts)

    def scores(self, queries: Embedded) -> tuple[np.ndarray, np.ndarray]:
        """Return products' best and mean cosines, float (q, m); -inf where no photo counts."""
        counts = self.keys != queries.keys[:, None]
        n_photos = np.add.reduceat(counts, self.starts, axis=1, dtype=int)
        cosines = queries.embeddings @ self.vectors.T
        sums = np.add.reduceat(np.where(counts, cosines, 0), self.starts, axis=1, dtype=float)
        mean = np.where(n_photos > 0, sums / np.maximum(n_photos, 1), -np.inf)
        best = np.maximum.reduceat(np.where(counts, cosines, -np.inf), self.starts, axis=1)
        return best, mean
