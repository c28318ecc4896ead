import faiss
import numpy as np
import pytest
from indexes.test_faiss import REMOVABLE, built, shared, unit

from vsearch.indexes.faiss import FaissIndex

MORE = ["PCA32,HNSW16,Flat", "PCA32,PQ16x4fs", "RQ8x4fs_Nrq2x4"]


@pytest.mark.parametrize("factory", REMOVABLE + MORE)
@pytest.mark.parametrize("gone", [[3, 250], range(100, 333)], ids=["two", "many"])
def test_what_stays_and_what_is_added_later_are_as_if_nothing_had_been_there(
    factory, gone, tmp_path
):
    shared(factory).save(tmp_path)
    index, whole = FaissIndex.open(tmp_path), FaissIndex.open(tmp_path)
    index.remove(np.array(gone))
    index.add(unit(60, seed=1))
    whole.add(unit(60, seed=1))
    kept = np.delete(np.arange(1060), gone)
    assert len(index) == len(kept)
    assert np.abs(index.vectors(np.arange(len(kept))) - whole.vectors(kept)).max() < 1e-5
    queries = np.concatenate([unit(1000), unit(60, seed=1)])[kept]
    scores, positions = index.search(queries, 1)
    before, found = whole.search(queries, 1)
    same = positions[:, 0] == np.searchsorted(kept, found[:, 0])
    assert same.mean() > 0.97  # a graph is another one, and codes have ties
    assert np.abs(scores - before)[same].max() < 1e-5


@pytest.mark.parametrize(
    "factory",
    [
        "NSG16,Flat",
        "IVF8,RaBitQfs",
        "RaBitQfs,RFlat",
        "IVF8,PQ4+4",
        "IVF8,PQ16x4fs",
        "PCA32,IVF8,PQ16x4fs,RFlat",
    ],
)
def test_a_kind_that_takes_nothing_out_says_so_and_stays_as_it_was(factory):
    index = built(unit(300), factory)
    before = index.search(unit(5, seed=1), 5)
    with pytest.raises(ValueError, match="FAISS can't remove vectors from Index"):
        index.remove(np.array([3]))
    assert len(index) == 300
    assert np.array_equal(index.search(unit(5, seed=1), 5), before)


@pytest.mark.parametrize("factory", ["IVF8,PQ16x4np", "PQ16x4fs"])
def test_plain_faiss_reads_what_is_left(factory, tmp_path):
    index = built(unit(300), factory)
    index.remove(np.arange(100))
    index.save(tmp_path)
    assert faiss.read_index(str(tmp_path / "index.faiss")).ntotal == len(index) == 200


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF8,Flat", "PQ16x4fs"])
def test_all_can_be_removed_and_others_added(factory):
    index = built(unit(300), factory)
    index.remove(np.arange(300))
    assert len(index) == 0
    index.add(unit(50))
    assert np.mean(index.search(unit(50), 1)[1][:, 0] == np.arange(50)) > 0.9
