from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from indexes.test_faiss import built, unit

from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_files import in_memory, read


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


def test_a_mapped_index_comes_into_memory(tmp_path):
    built(unit(300), "IVF8,PQ16x4fs").save(tmp_path)
    mapped = read(tmp_path / "index.faiss", mmap=True)
    queries = unit(9, seed=1)
    assert np.array_equal(in_memory(mapped).search(queries, 5)[1], mapped.search(queries, 5)[1])
