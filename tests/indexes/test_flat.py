import faiss
import numpy as np
import pytest

from vsearch.indexes.flat import FlatIndex


def unit(n: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def built(vectors: np.ndarray) -> FlatIndex:
    index = FlatIndex()
    index.build(vectors)
    return index


@pytest.mark.parametrize("dim", [2, 64, 2048])
def test_scores_are_cosines_to_1e_6(dim):
    gallery, queries = unit(300, dim), unit(40, dim, seed=1)
    scores, positions = built(gallery).search(queries, 10)
    exact = queries.astype(np.float64) @ gallery.astype(np.float64).T
    assert np.abs(scores - np.take_along_axis(exact, positions, axis=1)).max() < 1e-6


def test_order_against_a_loop():
    gallery, queries = unit(50, 8), unit(5, 8, seed=1)
    _, positions = built(gallery).search(queries, 50)
    for query, found in zip(queries, positions, strict=True):
        cosines = [sum(float(a) * float(b) for a, b in zip(query, item, strict=True)) for item in gallery]
        assert found.tolist() == sorted(range(50), key=lambda i: -cosines[i])


def test_by_hand():
    scores, positions = built(np.array([[1, 0], [0, 1], [-1, 0]], np.float32)).search(np.array([[1, 0]], np.float32), 3)
    assert scores.tolist() == [[1, 0, -1]]
    assert positions.tolist() == [[0, 1, 2]]


def test_k_above_the_size_is_lowered():
    scores, positions = built(unit(3)).search(unit(2), 10)
    assert scores.shape == positions.shape == (2, 3)


def test_bytes_are_readable_by_plain_faiss_and_open_again(tmp_path):
    index = built(unit(20))
    (tmp_path / "index.faiss").write_bytes(index.to_bytes())
    assert faiss.read_index(str(tmp_path / "index.faiss")).ntotal == 20
    again = FlatIndex.from_bytes(index.to_bytes())
    assert len(again) == 20
    assert np.array_equal(again.search(unit(4), 5)[1], index.search(unit(4), 5)[1])


@pytest.mark.parametrize("data", [b"", b"no index at all", b"IxF2" + bytes(40)])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(ValueError, match="not a FAISS index"):
        FlatIndex.from_bytes(data)


@pytest.mark.parametrize("vectors", [np.zeros((0, 4)), np.ones((3, 4)), np.zeros((2, 4))])
def test_only_unit_vectors(vectors):
    with pytest.raises(ValueError, match="unit vectors"):
        FlatIndex().build(vectors)


def test_an_empty_index_says_so():
    assert len(FlatIndex()) == 0
    with pytest.raises(ValueError, match="build it first"):
        FlatIndex().search(unit(1), 1)
