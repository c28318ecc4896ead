import numpy as np
import pandas as pd
import pytest
from small_bundle import unit_vectors

from vsearch.evaluation.products import METRICS, ProductScores, score_products
from vsearch.evaluation.scoring import Embedded, Scores


def embedded(items: pd.DataFrame, vectors: np.ndarray, keys: np.ndarray) -> Embedded:
    rows = items.index.to_numpy()
    return Embedded(vectors[rows], items["label"].to_numpy(), keys[rows])


def by_loop(items, vectors, keys, asked, pool, fuse) -> dict[int, int]:
    """Each query's rank of its product, by row; queries without another photo are left out."""
    ranks = {}
    for query in asked:
        scores: dict[object, list[float]] = {}
        for row in pool:
            if keys[row] != keys[query]:
                product = items["product"][row]
                name = product if isinstance(product, str) and product.strip() else f"alone {row}"
                scores.setdefault(name, []).append(float(vectors[row] @ vectors[query]))
        own = items["product"][query]
        if own in scores:
            of = {name: max(s) if fuse == "best" else np.mean(s) for name, s in scores.items()}
            ranks[query] = 1 + sum(of[name] >= of[own] for name in of if name != own)
    return ranks


def check(found: Scores, ranks: dict[int, int], n: int) -> None:
    rank = np.array(list(ranks.values()))
    assert [*found.model] == [*METRICS]
    assert found.model["precision_at_1"].tolist() == (rank == 1).tolist()
    assert found.model["cmc_at_10"].tolist() == (rank <= 10).tolist()
    gain = np.where(rank <= 10, 1 / np.log2(1 + rank), 0)
    assert found.model["ndcg_at_10"] == pytest.approx(gain)
    assert found.unanswerable == n - len(rank)


@pytest.mark.parametrize("gallery_is", ["train", "self"])
@pytest.mark.parametrize("sequences", [False, True])
def test_products_are_those_of_a_loop(gallery_is, sequences):
    rng = np.random.default_rng(0)
    n = 120
    products = np.array([*(f"p{i}" for i in range(30)), None, " ", float("nan")], dtype=object)
    items = pd.DataFrame({"label": rng.integers(0, 4, n), "product": rng.choice(products, n)})
    vectors = unit_vectors(n)
    keys = rng.integers(0, 60, n) if sequences else np.arange(n)
    asked = items[80:]
    gallery = items[:80] if gallery_is == "train" else items[60:]
    pool = [*dict.fromkeys([*gallery.index, *asked.index])]
    scores = score_products(
        embedded(asked, vectors, keys), embedded(gallery, vectors, keys), asked, gallery, "product"
    )
    for fuse in ("best", "mean"):
        ranks = by_loop(items, vectors, keys, asked.index, pool, fuse)
        found = getattr(scores, fuse)
        check(found, ranks, len(asked))
        assert asked.index[found.answered].tolist() == [*ranks]


def small(products: list, vectors: np.ndarray) -> ProductScores:
    items = pd.DataFrame({"label": 0, "product": products})
    photos = embedded(items, vectors, np.arange(len(items)))
    return score_products(photos, photos, items, items, "product")


def test_best_and_mean_by_hand():
    angles = np.array([0, 8, 80, 21, 30]) * np.pi / 180
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scores = small(["x", "x", "x", "y", "y"], vectors)
    # 0 and 8 degrees are nearest to each other, but the mean with 80 is farther than both of y
    assert scores.best.model["precision_at_1"].tolist() == [1, 1, 0, 1, 1]
    assert scores.mean.model["precision_at_1"].tolist() == [0, 0, 0, 1, 1]
    assert scores.best.chance["precision_at_1"].tolist() == [0.5] * 5
    assert scores.products == 2


def test_equal_scores_count_against_the_query():
    scores = small(["x", "x", "y", "y"], np.tile(unit_vectors(1), (4, 1)))
    assert scores.best.model["precision_at_1"].tolist() == [0, 0, 0, 0]
    assert scores.mean.model["cmc_at_5"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("products", [["x", "y", None], [None, " ", float("nan")]])
def test_no_product_has_two_photos(products):
    scores = small(products, unit_vectors(3))
    for found in (scores.best, scores.mean):
        assert len(found.labels) == 0
        assert found.unanswerable == 3
    assert scores.products == 3
