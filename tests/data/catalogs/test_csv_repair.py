import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from adversarial.tables import NOT_UTF8, READ_AS_WRITTEN

from vsearch.data.catalogs.base import CatalogError
from vsearch.data.catalogs.csv_repair import BadRows, read_csv

MALFORMED = (
    "id,year,name\n1,2011,plain\n2,2012,soap, balm, and gel\n\n3,2013,last\n4,2014,one,more\n"
)


def read(path: Path, text: str, bad_rows: BadRows = "error", separator: str = ",") -> pd.DataFrame:
    path.write_bytes(text.encode())
    return read_csv(path, separator, bad_rows)[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_repair_joins_the_tail_into_the_last_column(path: Path) -> None:
    table = read(path, MALFORMED, "repair")
    assert list(table["id"]) == ["1", "2", "3", "4"]
    assert list(table["name"]) == ["plain", "soap, balm, and gel", "last", "one,more"]
    assert list(table["year"]) == ["2011", "2012", "2013", "2014"]


def test_repair_keeps_another_separator(path: Path) -> None:
    assert list(read(path, "id;name\n1;a;b, c\n", "repair", separator=";")["name"]) == ["a;b, c"]


def test_skip_leaves_out_what_pandas_leaves_out(path: Path) -> None:
    table = read(path, MALFORMED, "skip")
    assert list(table["id"]) == ["1", "3"]
    oracle = pd.read_csv(path, on_bad_lines="skip", dtype=str)
    assert table.to_dict("list") == oracle.to_dict("list")


@pytest.mark.parametrize("bad_rows", ["repair", "skip"])
def test_rows_are_counted(path: Path, bad_rows: BadRows) -> None:
    path.write_text(MALFORMED)
    assert read_csv(path, ",", bad_rows)[1] == {"rows": 4, "malformed_rows": 2}


def test_error_names_the_first_line_the_count_and_the_settings(path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        read(path, MALFORMED)
    for part in (
        "table.csv: 2 row(s)",
        "line 3",
        "' balm'",
        "bad_rows",
        "'repair'",
        "'name'",
        "'skip'",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("bad_rows", ["repair", "skip", "error"])
def test_too_few_fields_are_always_an_error(path: Path, bad_rows: BadRows) -> None:
    with pytest.raises(CatalogError, match=r"line 4: 2 fields, but the header has 3: \['2', 'x'\]"):
        read(path, "id,year,name\n1,2011,a\n\n2,x\n", bad_rows)


def test_line_numbers_count_the_lines_of_the_file(path: Path) -> None:
    # the row of id 2 starts on the fifth line
    text = 'id,name\r\n1,"two\r\nlines"\r\n\r\n2,"a\nb",c\r\n'
    with pytest.raises(CatalogError, match="the first is line 5"):
        read(path, text)
    assert list(read(path, text, "repair")["name"]) == ["two\r\nlines", "a\nb,c"]


def test_quotes_protect_separators_quotes_and_lines(path: Path) -> None:
    name = 'a "big", red\nbag\rand\r\nmore'
    escaped = name.replace('"', '""')
    assert list(read(path, f'id,name\n1,"{escaped}"\n')["name"]) == [name]


def test_an_unclosed_quote_does_not_swallow_the_rest(path: Path) -> None:
    with pytest.raises(CatalogError, match="the row that starts at line 3 is never closed"):
        read(path, 'id,name\n1,a\n2,"Vintage lamp\n3,b\n4,c\n')


@pytest.mark.parametrize("value", READ_AS_WRITTEN)
def test_every_value_is_text_as_it_is_written(path: Path, value: str) -> None:
    table = read(path, f"id,sku\n{value},{value}\n1,\n")
    assert table["id"].tolist() == [value, "1"]
    assert table["sku"].tolist()[0] == value
    assert table["sku"].isna().tolist() == [False, True]


def test_a_byte_order_mark_is_not_part_of_the_first_name(path: Path) -> None:
    assert list(read(path, "\ufeffid,label\n1,tälle\n")["id"]) == ["1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("line", ["", "sep=;\r\n", '"sep=;"\r\n', "sep=\t\r\n", "sep=,\r\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_tables_as_excel_saves_them(tmp_path: Path, encoding: str, line: str, name: str) -> None:
    mark = line.strip('"\r\n')[4:] or ";"
    text = f"{line}id;label\r\n007;t\u00e4\r\n8;b,c;d\r\n".replace(";", mark)
    text = text.replace("sep=" + ";", f"sep={mark}")
    content = text.encode(encoding)
    if encoding == "utf-16-be":
        content = b"\xfe\xff" + content
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    table = read_csv(tmp_path / name, None, "skip")[0]
    assert table.loc[2 if not line else 3].to_dict() == {"id": "007", "label": "t\u00e4"}


def test_a_header_alone_is_an_empty_table(path: Path) -> None:
    assert read(path, "id,label").empty


def test_packed_tables_read_like_plain_ones(tmp_path: Path) -> None:
    plain = read(tmp_path / "t.csv", MALFORMED, "repair")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(MALFORMED.encode()))
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("README.txt", "hello")
        archive.writestr("__MACOSX/._t.csv", "junk")
        archive.writestr("data/t.csv", MALFORMED)
    for name in ("t.csv.gz", "t.zip"):
        pd.testing.assert_frame_equal(read_csv(tmp_path / name, ",", "repair")[0], plain)


@pytest.mark.parametrize("names", [[], ["a.csv", "b.tsv"]])
def test_a_zip_must_hold_one_table(tmp_path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for name in names:
            archive.writestr(name, MALFORMED)
    with pytest.raises(CatalogError, match=r"exactly one \.csv or \.tsv, but holds"):
        read_csv(tmp_path / "t.zip", ",", "repair")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.zip"])
def test_a_file_that_is_not_a_table_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(NOT_UTF8)
    with pytest.raises(CatalogError, match=f"{name}: cannot be read as a UTF-8 CSV table: "):
        read_csv(tmp_path / name, ",", "error")


def test_an_empty_file_is_refused(path: Path) -> None:
    with pytest.raises(CatalogError, match="the file is empty"):
        read(path, "\n\n")


@pytest.mark.parametrize(("bad_rows", "lines"), [("repair", [2, 3, 5, 6]), ("skip", [2, 5])])
def test_rows_keep_the_number_of_their_line(
    path: Path, bad_rows: BadRows, lines: list[int]
) -> None:
    table = read(path, MALFORMED, bad_rows)
    assert table.index.tolist() == lines
    assert table.index.name == "line"
    for line, id in zip(lines, table["id"], strict=True):
        assert MALFORMED.splitlines()[line - 1].startswith(f"{id},")


def test_rows_of_several_lines_have_the_number_of_the_first(path: Path) -> None:
    assert read(path, 'id,name\n1,"two\nlines"\n2,b\n').index.tolist() == [2, 4]


def test_a_single_column_may_have_empty_fields(path: Path) -> None:
    table = read(path, 'id\n1\n""\n  \n2\n')
    assert table["id"].fillna("").tolist() == ["1", "", "  ", "2"]
    assert table.index.tolist() == [2, 3, 4, 5]
