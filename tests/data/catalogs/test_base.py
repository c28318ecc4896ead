from pathlib import Path

import pandas as pd
import pytest

from vsearch.data.catalogs.base import (
    Catalog,
    CatalogError,
    are_files,
    check,
    drop_small_labels,
    is_blank,
)


def make(folder: Path, **columns: list) -> pd.DataFrame:
    """Two labels with two photos each; `columns` replace or add."""
    paths = [folder / f"{number}.jpg" for number in range(4)]
    for path in paths:
        path.touch()
    table = {
        "id": ["a", "b", "c", "d"],
        "path": [str(path) for path in paths],
        "label": ["x", "x", "y", "y"],
    }
    return pd.DataFrame({**table, **columns})


def test_a_good_table_passes_and_gets_text_and_a_fresh_index(tmp_path: Path) -> None:
    table = make(tmp_path, id=[1, 2, 3, 4], label=[7, 7, 8, 8]).set_index(pd.Index([5, 5, 6, 9]))
    items = check(table, "test")
    assert list(items["id"]) == ["1", "2", "3", "4"]
    assert list(items["label"]) == ["7", "7", "8", "8"]
    assert list(items.index) == [0, 1, 2, 3]
    assert list(table["id"]) == [1, 2, 3, 4]  # the caller's table stays as it was


def test_items_checks_what_read_returned(tmp_path: Path) -> None:
    class Twice(Catalog):
        def read(self) -> pd.DataFrame:
            return make(tmp_path, id=["a", "b", "a", "d"])

    with pytest.raises(CatalogError, match="Twice: 2 of 4 items share an id"):
        Twice().items()


@pytest.mark.parametrize("column", ["id", "path", "label"])
@pytest.mark.parametrize("blank", [None, float("nan"), "", "  "])
def test_blanks_are_refused_with_their_place(tmp_path: Path, column: str, blank: object) -> None:
    values = list(make(tmp_path)[column])
    table = make(tmp_path, **{column: [*values[:2], blank, values[3]]})
    with pytest.raises(CatalogError, match=f"1 of 4 items have no {column}:\n  line 7: id="):
        check(table.set_axis(pd.Index([2, 5, 7, 7], name="line")), "test")
    with pytest.raises(
        CatalogError, match=f"1 of 4 items have no {column}:\n  id="
    ):  # an index that tells nothing
        check(table, "test")


def test_missing_columns_and_empty_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"missing column\(s\) \['label'\].*\['id', 'path'\]"):
        check(make(tmp_path).drop(columns="label"), "test")
    with pytest.raises(CatalogError, match="no items"):
        check(make(tmp_path).head(0), "test")


def test_a_photo_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    table = make(tmp_path)
    (tmp_path / "3.jpg").unlink()
    with pytest.raises(
        CatalogError, match=r"have no photo file:\n  id='d' path='.*3\.jpg' label='y'\n"
    ):
        check(table, "test")


def test_a_label_with_one_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match="1 of 4 items are the only photo of their label:\n  id='d'"
    ):
        check(make(tmp_path, label=["x", "x", "x", "y"]), "test")


def test_a_message_shows_five_rows_and_counts_the_others(tmp_path: Path) -> None:
    table = pd.concat([make(tmp_path)] * 2).assign(id="same")
    with pytest.raises(CatalogError) as caught:
        check(table, "test")
    assert str(caught.value).count("id='same'") == 5
    assert "and 3 more" in str(caught.value)


def boxes(x_1: list, x_2: list) -> dict[str, list]:
    return {"x_1": x_1, "x_2": x_2, "y_1": [0, 0, 0, None], "y_2": [9, 9, 9, None]}


def test_boxes_are_whole_or_absent(tmp_path: Path) -> None:
    assert len(check(make(tmp_path, **boxes([0, 1, 2, None], [1, 2, 3, None])), "test")) == 4
    with pytest.raises(CatalogError, match="1 of 4 items have an incomplete box:\n  id='b'"):
        check(make(tmp_path, **boxes([0, None, 2, None], [1, 2, 3, None])), "test")
    with pytest.raises(CatalogError, match="1 of 4 items have an incomplete box:\n  id='a'"):
        check(make(tmp_path, **boxes(["left", 1, 2, None], [1, 2, 3, None])), "test")
    with pytest.raises(CatalogError, match=r"has only \['x_1'\]"):
        check(make(tmp_path, x_1=[0, 0, 0, 0]), "test")


def test_boxes_without_area_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match=r"2 of 4 items have an empty box:\n  id='b'.*\n  id='c'"
    ):
        check(make(tmp_path, **boxes([0, 2, 5, None], [1, 2, 3, None])), "test")
    with pytest.raises(CatalogError, match="3 of 4 items have an empty box"):
        check(
            make(tmp_path, **boxes([0, 1, 2, None], [1, 2, 3, None]) | {"y_1": [9, 10, 11, None]}),
            "test",
        )


def test_are_files_agrees_with_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.jpg").touch()
    (tmp_path / "good.jpg").symlink_to("0.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    paths = [
        "0.jpg",
        "./1.jpg",
        "sub/e.jpg",
        "sub",
        "sub/",
        "",
        "good.jpg",
        "broken.jpg",
        "none/e.jpg",
        "0.jpg/e.jpg",
    ]
    paths.append(str(tmp_path / "2.jpg"))
    found = are_files(pd.Series(paths, index=range(5, 16)))
    assert list(found) == [Path(path).is_file() for path in paths]
    assert found.sum() == 5
    assert list(found.index) == list(range(5, 16))


def test_is_blank() -> None:
    assert list(is_blank(pd.Series(["a", "", " \t", None, float("nan"), 0]))) == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


def test_drop_small_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = make(tmp_path, label=["x", "y", "x", None])
    assert list(drop_small_labels(table, 2)["id"]) == [
        "a",
        "c",
        "d",
    ]  # a blank label stays, to be refused by check
    assert "Dropped 1 items of 1 labels with fewer than 2 photos" in caplog.text
    assert "first item: 'y' has 1 (id='b')." in caplog.text
    caplog.clear()
    assert len(drop_small_labels(table, 1)) == 4
    assert len(drop_small_labels(table.head(0), 2)) == 0
    assert not caplog.records


def test_five_small_labels_are_named_with_their_first_item(
    caplog: pytest.LogCaptureFixture,
) -> None:
    labels = ["big"] * 3 + ["two", "a", "two", "b", "c", "d", "e", None]
    table = pd.DataFrame(
        {"id": range(11), "label": labels}, index=pd.RangeIndex(2, 13, name="line")
    )
    assert len(drop_small_labels(table, 3)) == 4
    named = (
        "'two' has 2 (line 5: id=3); 'a' has 1 (line 6: id=4); "
        "'b' has 1 (line 8: id=6); 'c' has 1 (line 9: id=7)"
    )
    assert (
        "Dropped 7 items of 6 labels with fewer than 3 photos. Each label with its first "
        f"item: {named}; " in (caplog.text)
    )
    assert "; 'd' has 1 (line 10: id=8); and 1 more." in caplog.text
