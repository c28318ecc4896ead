import faiss
import numpy as np
import pytest
from indexes.test_faiss import CODED, LOSSLESS, built, shared, unit

from vsearch.indexes.faiss import FaissIndex

MORE = ["PCA32,HNSW16,Flat"]


@pytest.mark.parametrize("factory", LOSSLESS + CODED + MORE)
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


@pytest.mark.parametrize("factory", ["NSG16,Flat", "IVF8,RaBitQfs", "RaBitQfs,RFlat", "IVF8,PQ4+4"])
def test_a_kind_that_takes_nothing_out_says_so_and_stays_as_it_was(factory):
    index = built(unit(300), factory)
    before = index.search(unit(5, seed=1), 5)
    with pytest.raises(ValueError, match="FAISS can't remove vectors from Index"):
        index.remove(np.array([3]))
    assert len(index) == 300
    assert np.array_equal(index.search(unit(5, seed=1), 5), before)


def test_plain_faiss_reads_what_is_left(tmp_path):
    index = built(unit(300), "IVF8,PQ16x4fs")
    index.remove(np.arange(100))
    index.save(tmp_path)
    assert faiss.read_index(str(tmp_path / "index.faiss")).ntotal == len(index) == 200
