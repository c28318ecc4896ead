import json

import numpy as np
import pytest
from indexes.index_makers import unit

from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.regions import RegionIndex, all_vectors, for_shape

N, PER_ITEM, DIM, Q = 80, 3, 8, 6
VECTORS = unit(N * PER_ITEM, DIM).reshape(N, PER_ITEM, DIM)
QUERIES = unit(Q, DIM, seed=1)
HALF = np.random.default_rng(2).random(N) < 0.5


def made(index: Index | None = None, vectors: np.ndarray = VECTORS) -> RegionIndex:
    index = RegionIndex(index or ExactIndex(), PER_ITEM)
    index.build(vectors)
    return index


def by_a_loop(vectors: np.ndarray, allowed: np.ndarray, k: int) -> tuple[list, list]:
    """Each query's best items, an item by its best vector."""
    all_scores = []
    all_items = []
    for query in QUERIES:
        best = {}
        for item in np.flatnonzero(allowed):
            best[item] = max(float(query @ vector) for vector in vectors[item])
        order = sorted(best, key=lambda item: -best[item])[:k]
        all_scores.append([best[item] for item in order])
        all_items.append(order)
    return all_scores, all_items


@pytest.mark.parametrize("k", [1, 10, N, N + 5])
@pytest.mark.parametrize("index", [ExactIndex(), FaissIndex("Flat")])
def test_it_finds_what_comparing_every_part_of_every_item_finds(index, k):
    scores, items = made(index).search(QUERIES, k)
    expected, order = by_a_loop(VECTORS, np.ones(N, dtype=bool), k)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_array_equal(items, order)


@pytest.mark.parametrize("allowed", [HALF, np.arange(N) == 7, np.arange(N) < 0])
def test_only_allowed_items_are_found_and_every_place_is_filled(allowed):
    scores, items = made().search(QUERIES, 10, allowed)
    expected, order = by_a_loop(VECTORS, allowed, 10)
    np.testing.assert_array_equal(items, np.reshape(order, (Q, -1)))
    np.testing.assert_allclose(scores, np.reshape(expected, (Q, -1)), atol=1e-6)


def test_equal_vectors_are_one_item_each():
    same = np.broadcast_to(VECTORS[:1, :1], VECTORS.shape)
    scores, items = made(vectors=same).search(QUERIES, 10)
    assert all(len(set(row)) == 10 for row in items)
    assert np.ptp(scores, axis=1).max() < 1e-6


def test_items_are_added_and_removed_whole():
    index = made(vectors=VECTORS[:60])
    index.add(VECTORS[60:])
    index.remove(np.array([0, 5, 79]))
    left = np.delete(VECTORS, [0, 5, 79], axis=0)
    assert len(index) == len(left)
    np.testing.assert_array_equal(index.vectors(np.arange(len(left))), left[:, 0])
    np.testing.assert_array_equal(all_vectors(index, np.array([3, 70])), left[[3, 70]])
    _, items = index.search(QUERIES, 5)
    np.testing.assert_array_equal(items, by_a_loop(left, np.ones(len(left), dtype=bool), 5)[1])


@pytest.mark.parametrize("factory", ["HNSW16", "IVF4,Flat", "SQ8", "PQ8x4fs"])
def test_places_that_an_approximate_index_cannot_fill_are_empty(factory):
    scores, items = made(FaissIndex(factory)).search(QUERIES, 20)
    assert (items >= 0).any()
    for row, own in zip(items, scores, strict=True):
        found = row[row >= 0]
        assert len(set(found)) == len(found)
        assert (own[row < 0] == -1).all()
        assert (np.diff(own) <= 1e-6).all()


@pytest.mark.parametrize("inner", [ExactIndex(), AutoIndex(0.9), FaissIndex("SQ8")])
def test_it_opens_as_it_was_saved(tmp_path, inner):
    index = made(inner)
    names = index.save(tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    opened = RegionIndex.open(tmp_path)
    assert opened.spec == index.spec
    assert opened.spec.endswith("3 vectors an item")
    assert opened.describe()["vectors_per_item"] == PER_ITEM
    for found, wanted in zip(opened.search(QUERIES, 5), index.search(QUERIES, 5), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("entry", [{}, {"class_path": "os.system", "per_item": 3}, 7])
def test_a_foreign_file_is_refused(tmp_path, entry):
    made().save(tmp_path)
    (tmp_path / "regions.json").write_text(json.dumps(entry))
    with pytest.raises(ValueError, match=r"regions\.json"):
        RegionIndex.open(tmp_path)


def test_a_number_that_does_not_fit_the_vectors_is_refused(tmp_path):
    made().save(tmp_path)
    text = (tmp_path / "regions.json").read_text().replace("3", "7")
    (tmp_path / "regions.json").write_text(text)
    with pytest.raises(ValueError, match="240 vectors aren't 7 for each item"):
        RegionIndex.open(tmp_path)


@pytest.mark.parametrize("vectors", [VECTORS[:, 0], VECTORS[:, :2]])
def test_embeddings_without_all_parts_are_refused(vectors):
    with pytest.raises(ValueError, match="an item has 3 vectors"):
        made(vectors=vectors)


def test_only_items_with_several_vectors_need_it():
    plain = ExactIndex()
    assert for_shape(plain, (DIM,)) is plain
    assert for_shape(plain, (PER_ITEM, DIM)).index is plain
