from io import StringIO

import pytest
from rich.console import Console

from vsearch.reports.table import Table, column_widths


def shown(table: Table, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    table.show("Title", console)
    return console.file.getvalue()


def test_widths_by_hand():
    columns = [["a bb", "c"], ["dddd ee ff"]]
    assert column_widths(columns, 14) == [4, 10]
    assert column_widths(columns, 12) == [4, 8]
    assert column_widths(columns, 7) == [3, 4]
    assert column_widths(columns, 6) == [2, 4]
    assert column_widths(columns, 5) is None


@pytest.mark.parametrize("columns", [[], [[""]], [["", ""], [""]]])
def test_empty_columns_need_no_room(columns):
    assert column_widths(columns, 0) == [0] * len(columns)


WORDY = Table(["cell", "what is to be said of it"], [["long-name", "one two three"], ["x", "[y]"]])


@pytest.mark.parametrize("width", [18, 21, 26, 35, 80])
def test_words_stay_whole_and_lines_short_at_any_width(width):
    text = shown(WORDY, width)
    for line in [WORDY.header, *WORDY.rows]:
        assert {*" ".join(line).split()} <= {*text.split()}
    assert max(map(len, text.splitlines())) <= width


def test_what_has_no_room_as_a_table_is_a_list_for_each_row():
    assert [
        line.rstrip() for line in shown(Table(["a", "bb"], [["ccccc", "dddd"]]), 10).splitlines()
    ] == [*("Title", "a   ccccc", "bb  dddd", "")]
