from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from indexes.test_faiss import built, unit

from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_files import read


def test_faiss_is_left_as_it_was(tmp_path):
    before = faiss.get_deserialization_vector_byte_limit()
    built(unit(300)).save(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        assert [len(index) for index in pool.map(FaissIndex.open, [tmp_path] * 20)] == [300] * 20
    assert faiss.get_deserialization_vector_byte_limit() == before
    (tmp_path / "index.faiss").write_bytes(b"no index at all")
    with pytest.raises(RuntimeError):
        read(tmp_path / "index.faiss")
    assert faiss.get_deserialization_vector_byte_limit() == before


def test_a_mapped_index_of_packed_codes_comes_into_memory(tmp_path):
    built(unit(300), "IVF8,PQ16x4fs").save(tmp_path)
    mapped, whole = (FaissIndex.open(tmp_path, mmap) for mmap in (True, False))
    for index in (mapped, whole):
        index.add(unit(9, seed=1))
    queries = unit(20, seed=2)
    assert np.array_equal(mapped.search(queries, 5)[1], whole.search(queries, 5)[1])
