import json
import os
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from vsearch.data.catalogs.base import CatalogError, warn_of_like_labels, with_texts
from vsearch.data.catalogs.table import TableCatalog
from vsearch.data.decoding import scan
from vsearch.data.items import plain_rows, read_table, table_bytes
from vsearch.search.filters.columns import Column

PLAIN = (
    "id,label,path\n007,bag,images/007.jpg\n8,bag,images/8.jpg\n"
    "9,NA,images/9.jpg\n10,NA,images/10.jpg\n"
)


def write(folder: Path, text: str, **settings: Any) -> TableCatalog:
    """A table beside the photos images/007.jpg, 8.jpg, 9.jpg and 10.jpg."""
    (folder / "images").mkdir(exist_ok=True)
    for name in ("007", "8", "9", "10"):
        (folder / "images" / f"{name}.jpg").touch()
    (folder / "table.csv").write_text(text)
    return TableCatalog(str(folder / "table.csv"), **settings)


def test_ids_and_labels_stay_text(tmp_path: Path) -> None:
    items = write(tmp_path, PLAIN).items()
    assert list(items["id"]) == ["007", "8", "9", "10"]
    assert list(items["label"]) == ["bag", "bag", "NA", "NA"]
    assert Path(items["path"][0]) == tmp_path / "images" / "007.jpg"


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    text = "sku,kind,year,label,path\n007,bag,1,red,x\n8,bag,2,blue,y\n"
    items = write(tmp_path, text, id="sku", label="kind", path_pattern="images/{sku}.jpg").items()
    assert list(items) == ["id", "path", "label", "year", "label_original", "path_original"]
    assert list(items["label"]) == ["bag", "bag"]
    assert list(items["label_original"]) == ["red", "blue"]
    assert list(items["year"]) == ["1", "2"]


def test_an_unused_id_column_is_kept(tmp_path: Path) -> None:
    items = write(tmp_path, PLAIN, id=None).items()
    assert list(items["id"]) == ["0", "1", "2", "3"]
    assert list(items["id_original"]) == ["007", "8", "9", "10"]


@pytest.mark.parametrize("name", ["ID", "Id"])
def test_a_column_that_is_meant_as_id_is_not_passed_over(tmp_path: Path, name: str) -> None:
    text = PLAIN.replace("id", name, 1)
    with pytest.raises(CatalogError, match=f"no column 'id', only '{name}'. Rename it"):
        write(tmp_path, text).items()
    assert list(write(tmp_path, text, id=name).items()["id"]) == ["007", "8", "9", "10"]
    assert list(write(tmp_path, text, id=None).items()["id"]) == ["0", "1", "2", "3"]


def test_a_pattern_takes_text_from_several_columns(tmp_path: Path) -> None:
    text = "label,folder,number\nbag,images,007\nbag,images,8\n"
    items = write(tmp_path, text, path_pattern="{folder}/{number}.jpg").items()
    assert [Path(path).name for path in items["path"]] == ["007.jpg", "8.jpg"]


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"label": "kind"}, "kind"),
        ({"id": "sku"}, "sku"),
        ({"path": "file"}, "file"),
        ({"path_pattern": "{sku}.jpg"}, "sku"),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, settings: dict[str, str], missing: str) -> None:
    with pytest.raises(
        CatalogError,
        match=rf"no column\(s\) \['{missing}'\]; the table has \['id', 'label', 'path'\]",
    ):
        write(tmp_path, PLAIN, **settings).read()


def test_a_pattern_with_the_absent_default_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no column\(s\) \['id'\]"):
        write(tmp_path, "label\nbag\n", path_pattern="images/{id}.jpg").read()


@pytest.mark.parametrize("settings", [{"path": None}, {"path_pattern": "images/one.jpg"}])
def test_a_path_must_come_from_a_column(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match="give 'path'"):
        write(tmp_path, PLAIN, **settings)


def test_steps_come_in_order_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        "id,label,name\n007,bag,a\n8,bag,b\n"
        "9,hat,free\n10,hat,c\n"  # the filter leaves one hat
        "11,bag,d\n"  # no photo
        "12,bag,e,f\n"  # malformed
    )
    settings = {"path_pattern": "images/{id}.jpg", "filters": ["name != 'free'", "label != 'x'"]}
    catalog = write(tmp_path, text, bad_rows="skip", missing_photos="drop", **settings)
    assert list(catalog.items()["id"]) == ["007", "8"]
    assert catalog.report == {
        "rows": 6,
        "malformed_rows": 1,
        "filtered": 1,
        "missing_photos": 1,
        "small_labels": 1,
        "small_label_items": 1,
        "items": 2,
    }
    assert "bad_rows=skip for 1 rows" in caplog.text
    repaired = write(tmp_path, text, bad_rows="repair", missing_photos="drop", **settings)
    repaired.items()
    assert repaired.report == catalog.report | {"missing_photos": 2}
    assert repaired.read().equals(catalog.read())  # reading twice counts once
    assert repaired.report["missing_photos"] == 2


def test_filters_see_numbers(tmp_path: Path) -> None:
    text = (
        PLAIN.replace("path\n", "path,year\n")
        .replace(".jpg\n", ".jpg,2011\n")
        .replace("8.jpg,2011", "8.jpg,2010")
    )
    items = write(tmp_path, text, filters=["year > 2010"], min_images_per_label=1).read()
    assert list(items["id"]) == ["007", "9", "10"]


@pytest.mark.parametrize("expression", ["colour == 1", "label ==", "label"])
def test_a_wrong_filter_is_named_with_the_columns(tmp_path: Path, expression: str) -> None:
    with pytest.raises(
        CatalogError, match=rf"filter '{expression}.*\n?.*columns: \['id', 'label', 'path'\]"
    ):
        write(tmp_path, PLAIN, filters=[expression]).read()


def test_a_filter_that_leaves_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no items"):
        write(tmp_path, PLAIN, filters=["label == 'cup'"]).items()


def test_missing_photos_stop_or_are_dropped_or_kept(tmp_path: Path) -> None:
    text = PLAIN + "11,bag,images/11.jpg\n12,bag,\n"
    with pytest.raises(
        CatalogError, match=r"2 of 6 items have no photo file:\n  line 6: .*\n.*\n.*missing_photos"
    ):
        write(tmp_path, text).read()
    assert len(write(tmp_path, text, missing_photos="drop").items()) == 4
    kept = write(tmp_path, text, missing_photos="keep")
    assert kept.read()["id"].tolist() == ["007", "8", "9", "10", "11", "12"]
    assert kept.report["missing_photos"] == 0  # none was left out
    with pytest.raises(CatalogError, match="2 of 6 items have no photo file"):
        kept.items()


@pytest.mark.parametrize(
    "path", ["../8.jpg", "images/../../8.jpg", "/elsewhere/8.jpg", "../{root}-2/8.jpg"]
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, path: str) -> None:
    path = path.replace("{root}", tmp_path.name)
    with pytest.raises(
        CatalogError, match=f"1 of 5 items lead out of .*\n  line 6: id='11' path='{path}'"
    ):
        write(tmp_path, PLAIN + f"11,bag,{path}\n", missing_photos="drop").read()


def test_a_pattern_cannot_lead_out(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="1 of 1 items lead out of"):
        write(tmp_path, "id,label\n../../x,bag\n", path_pattern="images/{id}.jpg").read()


def test_paths_start_from_root_and_may_be_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"id,label,path\n1,bag,{tmp_path}/images/8.jpg\n2,bag,./9.jpg\n3,bag,x/../10.jpg\n"
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    items = TableCatalog("table.csv", root="images").items()
    assert [Path(path) for path in items["path"]] == [
        Path("images") / f"{name}.jpg" for name in (8, 9, 10)
    ]


def test_the_roots_dots_are_worked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, PLAIN)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert len(TableCatalog("../table.csv").items()) == 4
    assert len(TableCatalog(str(tmp_path / "table.csv"), root="..").items()) == 4


def test_tables_of_open_metric_learning_work(tmp_path: Path) -> None:
    text = (
        "label,path,split,is_query,is_gallery,category,x_1,x_2,y_1,y_2\n"
        "1,images/8.jpg,train,,,cup,,,,\n"
        "1,images/9.jpg,train,,,cup,,,,\n"
        "2,images/10.jpg,validation,True,False,hat,0,5,1,9\n"
        "2,images/10.jpg,validation,0,1,hat,5,9.5,1,9\n"
    )
    items = write(tmp_path, text).items()
    assert list(items["id"]) == ["0", "1", "2", "3"]
    assert list(items["label"]) == ["1", "1", "2", "2"]
    assert list(items["is_query"].isna()) == [True, True, False, False]
    assert list(items["is_query"][2:]) == [True, False]
    assert list(items["is_gallery"][2:]) == [False, True]
    assert items["is_query"].dtype == items["is_gallery"].dtype == "boolean"
    assert list(items["x_2"][2:]) == [5, 9.5]
    with pytest.raises(CatalogError, match="1 of 4 items have an empty box:\n  line 5: id='3'"):
        write(tmp_path, text.replace("5,9.5", "9.5,5")).items()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["True", "false", "", "1"], [True, False, None, True]),
        (["1", "0", "", "0"], [True, False, None, False]),
        (["", "", "", ""], [None] * 4),
        (["True", "False", "True", "TRUE"], [True, False, True, True]),
    ],
)
def test_flags_are_nullable_booleans(
    tmp_path: Path, written: list[str], expected: list[bool | None]
) -> None:
    rows = [f"bag,images/8.jpg,{flag}\n" for flag in written]
    flags = write(tmp_path, "label,path,is_query\n" + "".join(rows)).items()["is_query"]
    assert [None if pd.isna(flag) else flag for flag in flags] == expected


def test_an_unknown_flag_is_refused(tmp_path: Path) -> None:
    text = "label,path,is_query\nbag,images/8.jpg,True\nbag,images/9.jpg,maybe\n"
    with pytest.raises(
        CatalogError, match="1 of 2 items have an unknown is_query:\n  line 3: id='1' "
    ):
        write(tmp_path, text).read()


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.tsv.gz"])
def test_formats_give_the_same_items(tmp_path: Path, name: str) -> None:
    expected = write(tmp_path, PLAIN).items()
    table = pd.read_csv(tmp_path / "table.csv", dtype=str, keep_default_na=False)
    if name.endswith("parquet"):
        table.astype({"label": "category"}).to_parquet(tmp_path / name)
    else:
        table.to_csv(tmp_path / name, index=False, sep="\t" if "tsv" in name else ",")
    assert TableCatalog(str(tmp_path / name)).items().equals(expected)


def test_parquet_keeps_types_and_flags(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    table = {
        "id": [1, 2],
        "label": [3, 3],
        "path": ["images/8.jpg", "images/9.jpg"],
        "is_query": [True, None],
    }
    pd.DataFrame(table).to_parquet(tmp_path / "t.parquet", index=False)
    items = TableCatalog(str(tmp_path / "t.parquet")).items()
    assert (list(items["id"]), list(items["label"])) == (["1", "2"], ["3", "3"])
    assert items["is_query"][0]
    assert pd.isna(items["is_query"][1])


def test_errors_name_the_line_of_the_file_whatever_was_left_out_before(tmp_path: Path) -> None:
    text = (
        'id,label,line,path\n1,hat,0,images/8.jpg\n2,bag,9,"images/8.jpg,\nmore"\n\n3,bag,9,a,b\n'
        "4,bag,9,images/9.jpg\n5,,9,images/10.jpg\n5,bag,9,images/007.jpg\n"
    )
    settings = {
        "filters": ["line == 9"],
        "bad_rows": "skip",
        "missing_photos": "drop",
    }  # a column, not the line
    with pytest.raises(CatalogError, match=r"1 of 3 items have no label:\n  line 8: id='5'"):
        write(tmp_path, text, **settings).items()
    assert text.splitlines()[8 - 1].startswith("5,,")
    with pytest.raises(
        CatalogError, match=r"2 of 3 items share an id.*\n  line 8: id='5'.*\n  line 9: id='5'"
    ):
        write(tmp_path, text.replace("5,,", "5,bag,"), **settings).items()


def test_errors_name_the_row_of_a_parquet_from_0(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    rows = {
        "label": ["hat", "bag", "bag"],
        "path": ["images/8.jpg", "images/9.jpg", "images/none.jpg"],
    }
    pd.DataFrame(rows, index=[7, 7, 7]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(CatalogError, match=r"1 of 2 items have no photo file:\n  row 2: id='2' "):
        TableCatalog(str(tmp_path / "t.parquet"), filters=["label == 'bag'"]).read()


def test_ids_are_the_rows_numbers_before_the_filters(tmp_path: Path) -> None:
    assert list(write(tmp_path, PLAIN, id=None, filters=["label == 'NA'"]).items()["id"]) == [
        "2",
        "3",
    ]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.csv: no such file"):
        TableCatalog(str(tmp_path / "none.csv")).read()


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("price < 30", ["8", "9"]),
        ("price != 'n/a'", ["007", "8", "9", "10"]),  # numbers, none of them text
        ("sku == '007'", ["007"]),
        ("country == 'NA'", ["8", "9"]),
        ("new", ["007", "9"]),
        ("new == False", ["8"]),
        ("id.astype('int') % 2 == 0", ["8", "10"]),
        ("id == '007'", ["007"]),
    ],
)
def test_filters_compare_what_reads_as_numbers_and_change_nothing(
    tmp_path: Path, expression: str, kept: list[str]
) -> None:
    text = (
        "id,label,path,price,sku,country,new\n007,a,images/007.jpg,30.00,007,DE,True\n"
        "8,a,images/8.jpg,19.90,7,NA,false\n9,a,images/9.jpg,5,07,NA,TRUE\n"
        "10,a,images/10.jpg,,7e1,US,\n"
    )
    whole = write(tmp_path, text, min_images_per_label=1).read().set_index("id")
    items = write(tmp_path, text, filters=[expression], min_images_per_label=1).read()
    assert items["id"].tolist() == kept
    pd.testing.assert_frame_equal(items.set_index("id"), whole.loc[kept])


def test_filters_come_one_after_another(tmp_path: Path) -> None:
    text = PLAIN.replace("path\n", "path,price\n").replace(".jpg\n", ".jpg,5\n", 3)
    text = text.replace("10.jpg\n", "10.jpg,n/a\n")
    settings: dict[str, Any] = {"min_images_per_label": 1}
    with pytest.raises(CatalogError, match="filter 'price < 6'"):
        write(tmp_path, text, filters=["price < 6"], **settings).read()
    both = write(tmp_path, text, filters=["price != 'n/a'", "price < 6"], **settings)
    assert list(both.read()["id"]) == ["007", "8", "9"]


def parquet(folder: Path, columns: dict[str, Any], **settings: Any) -> TableCatalog:
    """Two items of a Parquet table."""
    write(folder, PLAIN)
    known = {"id": ["a", "b"], "label": ["x", "x"], "path": ["images/8.jpg"] * 2}
    pq.write_table(pa.table({**known, **columns}), folder / "t.parquet")
    return TableCatalog(str(folder / "t.parquet"), **settings)


NS = pa.array([1706933106000000007, None], pa.timestamp("ns"))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pa.array([2**62 + 1, None]), [2**62 + 1, None]),
        (pa.array([2**63 + 1, None], pa.uint64()), [2**63 + 1, None]),
        (pa.array([7.0, None]), [7.0, None]),
        (pa.array([0.5, float("inf")], pa.float16()), [0.5, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["007", None]).dictionary_encode(), ["007", None]),
        (pa.array(["NA", ""], pa.string_view()), ["NA", ""]),
        (pa.array([["red", None], None]), [["red", None], None]),
        (pa.array([{"a": date(2024, 2, 3)}, None]), [{"a": "2024-02-03"}, None]),
        (pa.array([Decimal("19.90"), None]), ["19.90", None]),
        (pa.array([date(2024, 2, 3), None]), ["2024-02-03", None]),
        (pa.array([date(2024, 2, 3), None], pa.date64()), ["2024-02-03", None]),
        (NS, ["2024-02-03T04:05:06", None]),
        (NS.cast(pa.timestamp("us", "UTC"), safe=False), ["2024-02-03T04:05:06+00:00", None]),
        (pa.array([time(4, 5, 6), None]), ["04:05:06", None]),
        (pa.array([4 * 10**9, None], pa.time64("ns")), ["00:00:04", None]),
        (pa.array([timedelta(seconds=5), None]), ["0:00:05", None]),
    ],
)
def test_every_type_of_metadata_is_kept_searched_and_shown(
    tmp_path: Path, values: pa.Array, shown: list[Any]
) -> None:
    items = with_texts(parquet(tmp_path, {"it": values}).read(), "t.parquet")
    (tmp_path / "items.parquet").write_bytes(table_bytes(items))
    kept = read_table(tmp_path / "items.parquet")
    rows = plain_rows(kept, np.arange(len(kept)))
    assert json.loads(json.dumps([row["it"] for row in rows], allow_nan=False)) == shown
    assert Column(kept["it"]).known()[0] == {True: "true"}.get(shown[0] is True, str(shown[0]))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"thumb": [b"x", b"y"]}, "column 'thumb' holds bytes"),
        ({"deep": [[b"x"], None]}, "column 'deep' holds bytes"),
        ({"label": [["a", "b"], ["a"]]}, "'label' must be text or numbers, but holds list"),
        ({"id": [{"a": 1}, {"a": 2}]}, "'id' must be text or numbers, but holds dict"),
        ({"path": [b"x", b"y"]}, "'path' must be text or numbers, but holds bytes"),
        ({"id": [1e17, 2e17]}, "'id' holds floats of 16 digits"),
        ({"label_code": [1, 2]}, "vsearch itself uses the column name 'label_code'"),
        ({"content_hash": [1, 2]}, "vsearch itself uses the column name 'content_hash'"),
        ({"rank": [1, 2], "rank_original": [1, 2]}, "would be renamed, 'rank_original'"),
        ({"id": ["a", " a"]}, "differ only in white space around them"),
        ({"id": ["\u00e9", "e\u0301"]}, "differ only in white space around them"),
    ],
)
def test_what_cannot_be_kept_is_refused_when_read(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        parquet(tmp_path, columns).items()


def test_a_renamed_column_may_not_meet_another(tmp_path: Path) -> None:
    columns = {"sku": ["1", "2"], "id_original": ["3", "4"]}
    with pytest.raises(CatalogError, match="'id_original'"):
        parquet(tmp_path, columns, id="sku").items()


@pytest.mark.parametrize("header", ["id,label,path,path", "id,label,path, path "])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(CatalogError, match="two columns are named, or would be renamed, 'path'"):
        write(tmp_path, f"{header}\n1,a,b,c\n").read()


def test_numbers_in_lists_and_structures_stay_what_they_are(tmp_path: Path) -> None:
    large = 2**53 + 1
    lists = pa.array([[1, None, large], None])
    structures = pa.array([{"a": large}, {"a": None}])
    items = parquet(tmp_path, {"sizes": lists, "frame": structures}).items()
    kept = read_table(_stored(tmp_path, items))
    assert kept["sizes"].to_pylist() == lists.to_pylist()
    assert kept["frame"].to_pylist() == structures.to_pylist()


def _stored(folder: Path, items: pd.DataFrame) -> Path:
    (folder / "items.parquet").write_bytes(table_bytes(items))
    return folder / "items.parquet"


def test_nanoseconds_in_lists_become_what_python_has(tmp_path: Path) -> None:
    times = pa.array([[datetime(2024, 1, 2)], None], pa.list_(pa.timestamp("ns")))
    items = parquet(tmp_path, {"times": times}).items()
    rows = plain_rows(read_table(_stored(tmp_path, items)), np.arange(2))
    assert rows[0]["times"] == ["2024-01-02T00:00:00"]


def test_dates_that_python_has_not_are_refused(tmp_path: Path) -> None:
    times = pa.array([10**15, 0], pa.timestamp("s"))
    with pytest.raises(CatalogError, match="column 'times' can't be kept"):
        parquet(tmp_path, {"times": times}).items()


def test_ids_that_differ_in_case_only_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, PLAIN.replace("007,", "M1,").replace("8,", "m1,", 1)).items()
    assert "2 ids differ from others only in case and stay separate: 'M1', 'm1'" in caplog.text


def test_ids_that_became_floats_are_whole_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = parquet(tmp_path, {"id": [12345.0, 7.0], "label": [1.0, 1.0]}).items()
    assert items["id"].tolist() == ["12345", "7"]
    assert items["label"].tolist() == ["1", "1"]
    assert "column 'id' holds floats that are all whole: 12345.0 is read as '12345'" in caplog.text


def test_an_index_that_pandas_wrote_is_a_column(tmp_path: Path) -> None:
    parquet(tmp_path, {})
    pd.read_parquet(tmp_path / "t.parquet").set_index("id").to_parquet(tmp_path / "t.parquet")
    assert TableCatalog(str(tmp_path / "t.parquet")).items()["id"].tolist() == ["a", "b"]


@pytest.mark.parametrize("damage", [b"", b"id,path,label\n", b"PAR1"])
def test_a_broken_parquet_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(damage)
    with pytest.raises(CatalogError, match=r"t\.parquet: cannot be read as a Parquet table"):
        TableCatalog(str(tmp_path / "t.parquet")).read()


def test_labels_that_differ_in_form_only_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = parquet(tmp_path, {"label": ["Shirt ", "shirt"]}, min_images_per_label=1)
    warn_of_like_labels(catalog.read(), "t")
    assert caplog.text.count("'Shirt ' and 'shirt'") == 1


FASHION = os.environ.get("VSEARCH_FASHION", "")
CONFIG = Path(__file__).parents[3] / "configs" / "data" / "fashion.yaml"
EXPECTED = {  # photos in images/: items, labels, groups of identical photos
    44_441: (43_916, 89, 653),  # all that Kaggle has
    40_002: (39_488, 87, 583),  # a part of them
}


@pytest.mark.skipif(
    not FASHION, reason="set VSEARCH_FASHION to the folder of Kaggle's Fashion Product Images"
)
def test_fashion_product_images() -> None:
    settings = yaml.safe_load(CONFIG.read_text())["data"]["catalog"]["init_args"]
    catalog = TableCatalog(**{**settings, "table": f"{FASHION}/styles.csv"})
    items = catalog.items()
    photos = pd.DataFrame(
        {"path": sorted(str(path) for path in Path(FASHION, "images").glob("*.jpg"))}
    )
    n_items, n_labels, n_groups = EXPECTED[len(photos)]
    assert (len(items), items["label"].nunique()) == (n_items, n_labels)
    assert catalog.report["malformed_rows"] == 22
    found = scan(photos, [None] * len(photos))
    assert found["error"].isna().all()
    kept = found["content_hash"][photos["path"].isin(items["path"])]
    assert len(kept) == n_items
    groups = [(hashes.value_counts() > 1).sum() for hashes in (found["content_hash"], kept)]
    assert n_groups in groups  # 653 was published without saying which of the two it counts
