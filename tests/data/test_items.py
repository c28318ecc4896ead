import json

import numpy as np
import pandas as pd

from vsearch.data.items import as_table, plain_rows, read_table

FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "rank": [7, 8, 9],
        "price": [1.5, np.nan, np.inf],
        "colour": ["red", None, "blue"],
        "sale": [True, False, True],
        "since": pd.to_datetime(["2024-01-02", None, "2024-03-04"]),
        "stock": pd.array([1, None, 3], dtype="Int64"),
        "size": pd.Categorical(["S", "M", None]),
    }
)


def test_values_are_those_that_json_has():
    first, second, third = rows = plain_rows(as_table(FRAME), np.array([0, 1, 2]))
    assert first == {
        **{"id": "a", "rank": 7, "price": 1.5, "colour": "red", "sale": True},
        **{"since": "2024-01-02T00:00:00", "stock": 1, "size": "S"},
    }
    assert [second[name] for name in ("price", "colour", "since", "stock")] == [None] * 4
    assert (third["price"], third["size"]) == (None, None)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_rows_come_in_the_order_asked_for():
    items = as_table(FRAME)
    assert [row["id"] for row in plain_rows(items, np.array([2, 0, 2]))] == ["c", "a", "c"]
    assert plain_rows(items, np.array([], dtype=int)) == []


def test_they_are_what_pandas_writes_itself(tmp_path):
    FRAME.drop(columns="since").to_parquet(tmp_path / "t.parquet")
    rows = plain_rows(read_table(tmp_path / "t.parquet"), np.arange(3))
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert rows == json.loads(frame.to_json(orient="records"))
