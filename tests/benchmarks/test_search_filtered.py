import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import search_filtered
from benchmarks.search_filtered import by_labels


def test_whole_labels_up_to_the_share():
    labels = np.repeat(["a", "b", "c", "d"], [10, 20, 30, 40])
    for seed in range(5):
        mask = by_labels(labels, 0.5, np.random.default_rng(seed))
        assert {label for label in "abcd" if mask[labels == label].any()} == {
            label for label in "abcd" if mask[labels == label].all()
        }
        assert 0.3 <= mask.mean() <= 0.5


def test_the_command_prints_a_row_for_each_filter(tmp_path, monkeypatch, capsys):
    vectors = np.random.default_rng(0).standard_normal((900, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16)
    table = pa.table({"label": [f"l{row % 40}" for row in range(900)], "embedding": column})
    pq.write_table(table, tmp_path / "e.parquet")
    monkeypatch.setattr(search_filtered, "SINGLES", 20)
    monkeypatch.setattr(
        sys,
        "argv",
        ["search_filtered", str(tmp_path / "e.parquet"), "--factory", "Flat", "--search="],
    )
    search_filtered.main()
    rows = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines()[4:]]
    assert [row[0].strip() for row in rows] == ["none", *["random", "labels"] * 4]
    assert {row[2].strip() for row in rows if float(row[1]) > 0.03} == {"1.000"}
