import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks import query_expansion
from vsearch.data.embedding_parts import table


@pytest.mark.parametrize("gallery", ["train", "val"])
def test_the_command_prints_a_row_for_each_number_of_hits(tmp_path, monkeypatch, capsys, gallery):
    vectors = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    part = np.where(np.arange(200) < 150, "train", "val")
    items = pd.DataFrame({"id": [f"i{row}" for row in range(200)], "split": part})
    items["label"] = [f"l{row % 4}" for row in range(200)]
    pq.write_table(table(items, vectors), tmp_path / "e.parquet")
    items.to_csv(tmp_path / "split.csv", index=False)
    files = [str(tmp_path / "e.parquet"), str(tmp_path / "split.csv")]
    options = ["--gallery", gallery, "--hits", "3"]
    monkeypatch.setattr(sys, "argv", ["query_expansion", *files, *options])
    query_expansion.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"50 val photos search {150 if gallery == 'train' else 50} of {gallery}"
    assert [line.split(" | ")[0] for line in printed[-2:]] == ["| 0", "| 3"]
