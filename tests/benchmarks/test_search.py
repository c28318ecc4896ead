import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import search
from benchmarks.search import Variant, at_recalls, load, measure, recall, synthetic


def test_recall_by_hand():
    exact = np.array([[5.0, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6]])
    assert recall(np.arange(10)[None], exact) == 1
    assert recall(np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 10]]), exact) == 0.9
    assert recall(np.array([[0, 1, 2, 3, 4, 5, 6, -1, -1, -1]]), exact) == 0.7


def test_ties_at_the_end_count():
    assert recall(np.array([[*range(9), 11]]), np.array([[1.0] * 9 + [0.5] * 3])) == 1


def test_queries_are_held_out(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
    pq.write_table(
        pa.table({"id": [str(i) for i in range(50)], "embedding": column}), tmp_path / "e.parquet"
    )
    gallery, queries = load(tmp_path / "e.parquet", 5)
    assert sorted(np.concatenate([gallery, queries]).tolist()) == sorted(vectors.tolist())
    assert len(queries) == 5


def test_synthetic_vectors_are_units_and_the_same_each_time():
    gallery, queries = synthetic(300, 16, 10)
    assert (len(gallery), len(queries)) == (300, 10)
    assert np.allclose(np.linalg.norm(gallery, axis=1), 1, atol=1e-5)
    assert np.array_equal(gallery, synthetic(300, 16, 10)[0])


def test_all_are_timed_in_turn():
    calls = []
    variants = [
        Variant(name, "", lambda queries, k, name=name: calls.append((name, len(queries))), 0, None)
        for name in "ab"
    ]
    times = measure(variants, np.zeros((60, 4), np.float32), 2)
    assert [name for name, size in calls if size == 60] == ["a", "b", "a", "b"]
    assert [len(found["single_ms"]) for found in times] == [2, 2]


def test_the_command_prints_a_table(capsys, monkeypatch):
    monkeypatch.setattr(
        sys,
        "argv",
        ["search", "--synthetic", "400", "--dim", "16", "--queries", "20", "--rounds", "1"],
    )
    monkeypatch.setattr(search.os, "environ", {})
    monkeypatch.setattr(search, "ours", lambda *_: iter(()))
    monkeypatch.setattr(search, "peers", lambda *_: iter(()))
    search.main()
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "400 x 16, 20 queries, 1 thread(s), 1 rounds"
    assert rows[3].startswith("| IndexFlatL2 |  | 1.000 |")
    assert rows[3].split("|")[5].strip() == "1.0"
    assert rows[-1] == "| IndexFlatL2 " + "| 1x (1.0000) " * 6 + "| 0 | 64 |"


def test_the_fastest_setting_that_reaches_a_recall_is_shown():
    def row(engine: str, recall: float, single: float, batch: float) -> dict:
        return {
            "engine": engine,
            "recall_at_10": recall,
            "single_ms_faster": single,
            "batch_ms_faster": batch,
            "build_s": 3.2,
            "bytes_per_vector": None,
        }

    rows = [row("a", 0.96, 9, 4), row("b", 0.9995, 3, 2), row("a", 0.992, 5, 5)]
    lines = at_recalls(rows).splitlines()
    assert lines[2] == "| a | 9x (0.9600) | 5x (0.9920) |  | 5x (0.9920) | 5x (0.9920) |  | 3 |  |"
    assert lines[3] == "| b " + "| 3x (0.9995) " * 3 + "| 2x (0.9995) " * 3 + "| 3 |  |"
