import numpy as np
import pytest
from indexes.test_faiss import built, shared, unit

from vsearch.indexes import faiss as faiss_index
from vsearch.indexes.faiss_filtered import among, restricted, whole


@pytest.mark.parametrize(
    "factory", ["Flat", "HNSW16", "HNSW16,Flat,RFlat", "PCA32,HNSW16_SQ8,RFlat", "PQ16x4fs,RFlat"]
)
def test_whole_vectors_are_those_that_came(factory):
    kept = whole(shared(factory)._index)
    assert np.array_equal(kept.reconstruct_n(0, 1000), unit(1000))


@pytest.mark.parametrize(
    "factory", ["SQ8", "IVF8,Flat", "PCA32,Flat", "HNSW16,SQ8", "PQ16x4fs,Refine(SQfp16)"]
)
def test_kinds_that_keep_none_in_their_order_have_none(factory):
    assert whole(shared(factory)._index) is None


def test_among_against_a_loop():
    vectors, queries, positions = unit(200, 8), unit(5, 8, seed=1), np.array([3, 50, 51, 120, 199])
    index = built(vectors)
    distances, found = among(whole(index._index), queries, 3, positions)
    for query, row, near in zip(queries, found.tolist(), distances, strict=True):
        expected = {
            p: sum(float(a - b) ** 2 for a, b in zip(query, vectors[p], strict=True))
            for p in positions
        }
        assert row == sorted(positions, key=expected.__getitem__)[:3]
        assert near == pytest.approx([expected[p] for p in row], abs=1e-5)


def two_sides(n: int, seed: int = 0, dim: int = 16) -> np.ndarray:
    """n vectors near one pole, then n near the other."""
    noise = 0.3 * np.random.default_rng(seed).standard_normal((2 * n, dim))
    noise[:, 0] += np.repeat([0.9, -0.9], n)
    return (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("factory", ["HNSW16", "PCA8,HNSW16", "PCA8,HNSW16_SQ8,RFlat"])
def test_a_query_far_from_what_is_allowed_is_left_open(factory):
    vectors = two_sides(2000)
    index = built(vectors, factory, search={"efSearch": 32})._index
    queries, allowed = two_sides(20, seed=1), np.arange(4000) >= 2000
    _, found = restricted(index, queries, 10, allowed)
    assert (found[:20, -1] < 0).mean() > 0.8
    assert (found[20:] >= 2000).all()


def test_as_few_as_are_asked_for_are_allowed():
    allowed = np.zeros(1000, dtype=bool)
    allowed[[5, 70, 900]] = True
    _, found = restricted(shared("HNSW16")._index, unit(4, seed=1), 3, allowed)
    assert all({*row} <= {5, 70, 900, -1} for row in found.tolist())


def test_a_graph_finds_as_much_when_what_is_allowed_lies_elsewhere(monkeypatch):
    monkeypatch.setattr(faiss_index, "FEW_WHOLE", 0)  # however few are allowed
    gallery, queries, allowed = (
        two_sides(2000, dim=64),
        two_sides(50, seed=1, dim=64)[:50],
        np.arange(4000) >= 2000,
    )
    index = built(gallery, "HNSW32", search={"efSearch": 16})
    exact = 2000 + np.argsort(-(queries @ gallery[2000:].T), axis=1)[:, :10]
    found = index.search(queries, 10, allowed)[1]
    assert (
        np.mean(
            [len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        )
        > 0.8
    )
