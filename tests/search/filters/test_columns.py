import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vsearch.data.items import as_table
from vsearch.search.filters.columns import Column, FilterError, Table


@pytest.mark.parametrize(
    ("values", "known", "numbers"),
    [
        (["b", "a", None, " ", np.nan], ["a", "b"], False),
        ([2, 10, 2], ["2", "10"], True),
        ([2.5, np.nan], ["2.5"], True),
        (["10", "2", "", None], ["2", "10"], True),
        (["10", "2.5", "-3"], ["-3", "2.5", "10"], True),
        (["007", "8"], ["007", "8"], False),
        (["1" * 16, "2"], ["1" * 16, "2"], False),
        (["nan", "1"], ["1", "nan"], False),
        (["inf", "1"], ["1", "inf"], False),
        (["1", "x"], ["1", "x"], False),
        ([True, None, False], ["false", "true"], False),
        ([[1], [2], None], ["[1]", "[2]"], False),
        ([None, None], [], False),
        ([], [], False),
        (pd.Categorical(["x", None, "y"]), ["x", "y"], False),
        (pd.array([3, None, 1], dtype="Int64"), ["1", "3"], True),
        (pd.array(["a", None], dtype="string"), ["a"], False),
        (pd.array([True, None], dtype="boolean"), ["true"], False),
        (pd.to_datetime(["2024-01-01", None]), ["2024-01-01T00:00:00"], False),
    ],
)
def test_what_a_column_holds(values, known, numbers):
    series = pd.Series(values, dtype=object if isinstance(values, list) and not values else None)
    column = Column(as_table(pd.DataFrame({"values": series}))["values"])
    assert column.known() == known
    assert (column.numbers is not None) == numbers
    assert len(column.codes) == len(values)
    missing = [
        not isinstance(value, list) and (pd.isna(value) or not str(value).strip())
        for value in values
    ]
    assert (column.codes < 0).tolist() == missing


def test_groups_are_those_of_a_loop():
    values = ["a", None, "b", "a", " ", "7", "7", "b", "7.5"]
    groups = Column(pa.chunked_array([values])).codes
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            same = a is not None and a.strip() != "" and a == b
            assert (groups[i] == groups[j] >= 0) == same


def test_whole_numbers_of_18_digits_are_told_apart():
    from vsearch.search.filters.grammar import parse

    items = pa.table({"code": [123456789012345678, 123456789012345679]})
    assert parse("code = 123456789012345679").mask(items).tolist() == [False, True]


def test_a_column_is_made_ready_once():
    table = Table(as_table(pd.DataFrame({"a": [1], 3: [2]})))
    assert table.column("a") is table.column("a", 9)
    assert table.column("3").texts == ["2"]
    with pytest.raises(
        FilterError, match=r"^filter, character 5: no column 'A'; the columns are a, 3$"
    ):
        table.column("A", 5)
    with pytest.raises(FilterError, match=r"^no column 'A'"):
        table.column("A")
