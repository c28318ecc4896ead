import sys

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import search_on_disk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="MADV_PAGEOUT is Linux'")


@pytest.fixture
def table(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((700, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 64)
    pq.write_table(pa.table({"embedding": column}), tmp_path / "e.parquet")
    return tmp_path / "e.parquet"


def test_the_command_prints_a_row_for_each_k_factor(table, monkeypatch, capsys):
    words = [
        "search_on_disk",
        str(table),
        "--queries",
        "50",
        "--factory",
        "PQ16x4fs,RFlat",
        "--k_factor",
        "1,60",
    ]
    monkeypatch.setattr(sys, "argv", words)
    threads = faiss.omp_get_max_threads()
    try:
        search_on_disk.main()
    finally:
        faiss.omp_set_num_threads(threads)
    out = capsys.readouterr().out.splitlines()
    few, all_of_them = (line.split("|")[1:] for line in out if line.startswith(("| 1 ", "| 60 ")))
    assert float(few[1]) < 0.9
    assert float(all_of_them[1]) == 1
    assert float(all_of_them[4]) > 0
    on_disk, in_memory = (int(word) for word in out[-1].split() if word.isdigit())
    assert on_disk == 256 + in_memory > 256


def test_codes_alone_are_refused(table, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["search_on_disk", str(table), "--queries", "50", "--factory", "SQ8"]
    )
    with pytest.raises(SystemExit):
        search_on_disk.main()
