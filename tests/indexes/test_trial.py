import itertools

import numpy as np
import pytest
from indexes.test_faiss import built, unit

from vsearch.indexes import candidates as candidates_module
from vsearch.indexes.candidates import Candidate, candidates, given, lists
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.trial import (
    Reference,
    build,
    growth,
    measure,
    stored_bytes,
)


def test_recall_against_a_loop():
    gallery, queries = unit(60, 8), unit(7, 8, seed=1)
    positions = np.random.default_rng(0).permuted(np.tile(np.arange(60), (7, 1)), axis=1)[:, :10]
    positions[:, 9] = -1

    class Drawn(FaissIndex):
        def search(self, queries, k, allowed=None):
            return np.zeros(positions.shape, np.float32), positions

    hits = 0
    for query, found in zip(queries, positions, strict=True):
        best = sorted(range(60), key=lambda i: -float(query @ gallery[i]))[:10]
        hits += sum(position in best for position in found.tolist())
    assert Reference(gallery, queries).recall_at_10(Drawn()) == pytest.approx(hits / 70)


def test_recall_of_fewer_than_ten_vectors():
    gallery, queries = unit(4), unit(3, seed=1)
    reference = Reference(gallery, queries)
    assert reference.limits == pytest.approx((queries @ gallery.T).min(axis=1))
    assert reference.recall_at_10(built(gallery)) == 1
    assert Reference(gallery, gallery[:3], np.arange(3)).recall_at_10(built(gallery)) == 1


def test_one_index_is_built_for_all_its_settings_and_searched_with_each():
    gallery, queries = unit(600, 32), unit(20, 32, seed=1)
    candidate = Candidate(lambda n: FaissIndex("IVF16,Flat"), ({"nprobe": 1}, {"nprobe": 16}))
    tried = build([candidate], gallery)
    assert tried[0].index is tried[1].index
    few, every = measure(tried, Reference(gallery, queries), 600)
    assert (few.spec, every.spec) == ("IVF16,Flat, nprobe=1", "IVF16,Flat, nprobe=16")
    assert few.recall_at_10 < every.recall_at_10 == 1
    stored = stored_bytes(tried[0].index)
    assert few.memory_bytes == every.memory_bytes == pytest.approx(stored, abs=20)  # index.json


def test_bytes_and_times_are_brought_to_the_number_that_is_wanted():
    gallery, queries = unit(100, 16), unit(5, 16, seed=1)
    tried = build([given(FaissIndex("Flat")), given(FaissIndex("HNSW8"))], gallery)
    ticks = itertools.count()  # each call of the clock a second later: each search takes one
    reference = Reference(gallery, queries)
    flat, graph = measure(tried, reference, 10_000, clock=lambda: float(next(ticks)))
    assert flat.single_ms == 100_000
    assert graph.single_ms == pytest.approx(1000 * 100**0.4)
    assert flat.batch_ms == pytest.approx(100_000 / 64)
    assert flat.memory_bytes == 100 * stored_bytes(tried[0].index)


@pytest.mark.parametrize(
    ("spec", "power"),
    [("Flat", 1), ("PQ8x4fs,RFlat", 1), ("IVF8,Flat", 0.3), ("HNSW32", 0.4)],
)
def test_how_times_grow(spec, power):
    assert growth(spec) == power


@pytest.mark.parametrize("among", [True, False])
def test_recall_of_all_is_that_of_a_loop(among):
    vectors = unit(300, 16)
    own = np.array([5, 99, 200]) if among else None
    queries = unit(3, 16, seed=1) if own is None else vectors[own]
    index = FaissIndex("IVF16,Flat", {"nprobe": 2})
    index.build(vectors)
    right = 0
    for number, query in enumerate(queries):
        cosines = vectors @ query
        if own is not None:
            cosines[own[number]] = -1
        wanted = set(np.argsort(-cosines)[:10].tolist())
        right += len(wanted & set(index.search(query[None], 11 if among else 10)[1][0].tolist()))
    reference = Reference(vectors, queries, own)
    assert 0 < right < 30
    assert reference.recall_at_10(index) == pytest.approx(right / 30)
    index.set(nprobe=16)
    assert reference.recall_at_10(index) == 1


def test_what_cant_be_built_from_so_few_is_left_out_and_said(caplog):
    tried = build([given(FaissIndex("IVF512,Flat")), given(FaissIndex())], unit(100))
    assert [one.index.spec for one in tried] == ["Flat"]
    assert "IVF512,Flat can't be a candidate" in caplog.text
    with pytest.raises(ValueError, match=r"IVF512,Flat can't be a candidate: .*512 centroids"):
        build([given(FaissIndex("IVF512,Flat"))], unit(100))


def test_a_users_index_is_tried_and_built_as_copies():
    mine = FaissIndex("SQ8")
    candidate = given(mine)
    first, second = candidate.make(5), candidate.make(6)
    first.build(unit(20))
    assert (len(first), len(second), len(mine)) == (20, 0, 0)


def specs(n: int, dim: int = 2048, trained_on: int = 50_000) -> list[str]:
    return [candidate.make(min(n, trained_on)).spec for candidate in candidates(n, dim, trained_on)]


def test_candidates_follow_the_size():
    for n in (50, 5_000, 50_000, 500_000, 5_000_000, 50_000_000):
        found = specs(n)
        assert found[0] == "Flat"
        assert any("HNSW" in spec for spec in found) == (n >= 1000)
        assert (
            ("PQ256x4fs,RFlat" in found)
            == ("PCA128,HNSW16_SQ8,RFlat, efConstruction=200" in found)
            == (n >= 1000)
        )
        assert any("IVF" in spec for spec in found) == (10_000 <= n <= 1_000_000)
        assert not any(spec.startswith("PCA64") for spec in found)


@pytest.mark.parametrize(
    ("dim", "kinds"),
    [
        (64, ["IVF512,Flat", "HNSW16"]),
        (255, ["IVF512,Flat", "HNSW16"]),
        (256, ["PCA128,IVF512,SQ8_direct,RFlat", "PCA128,HNSW16_SQ8,RFlat"]),
    ],
)
def test_lists_and_graphs_hold_components_where_vectors_are_long(dim, kinds):
    found = [spec.removesuffix(", efConstruction=200") for spec in specs(20_000, dim)]
    assert [spec for spec in found if "IVF" in spec or "HNSW" in spec] == kinds


def test_where_labels_decide_fewer_components_are_tried():
    made = [one.make(5_000).spec for one in candidates(5_000, 300, 5_000, judged=True)]
    coded = ["PCA256,SQ8", "PCA256,SQ4", "PCA128,SQ8", "PCA128,SQ4", "PCA64,SQ8", "PCA64,SQ4"]
    assert made[-7:] == [*coded, "PCA256,HNSW32,SQ8, efConstruction=200"]


@pytest.mark.parametrize(
    ("n", "dim"),
    [(1_500, 300), (1_500, 100), (1_500, 33), (1_500, 37), (1_500, 16), (30, 8)],
)
def test_every_candidate_can_be_built_and_takes_its_settings(n, dim, monkeypatch):
    monkeypatch.setattr(candidates_module, "IVF_FROM", 1_000)
    vectors = unit(n, dim)
    offered = candidates(n, dim, n, judged=True)
    tried = build(offered, vectors)
    assert len({id(one.index) for one in tried}) == len(offered)
    for one in tried:
        one.give()
        assert one.index.search(vectors[:3], 10)[1].shape == (3, 10)


@pytest.mark.parametrize(
    ("n", "wanted"), [(1, 1), (38, 1), (100, 2), (2_000, 32), (100_000, 1024), (1_000_000, 2048)]
)
def test_lists_have_enough_vectors(n, wanted):
    assert lists(n) == wanted
    assert wanted == 1 or n / wanted >= 39


def test_the_simplest_is_exact():
    assert isinstance(candidates(10, 4, 10)[0].make(10), ExactIndex)
