import numpy as np
import pyarrow as pa
import pytest

from vsearch.data.items import below, common_folder, placed, read_table, table_bytes

URL = "s3://bucket/a.jpg"


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["/a/b/1.jpg", "/a/b/2.jpg"], "/a/b"),
        (["/a/b/1.jpg", "/a/c/2.jpg"], "/a"),
        (["/a/bc/1.jpg", "/a/b/2.jpg"], "/a"),
        (["/a/b/1.jpg", URL, ""], "/a/b"),
        (["/a/b/../c/1.jpg"], "/a/c"),
        ([URL, ""], ""),
        ([], ""),
    ],
)
def test_the_folder_that_photos_lie_below(paths, folder):
    assert common_folder(paths) == folder


def test_paths_from_the_current_folder_are_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert common_folder(["photos/1.jpg"]) == str(tmp_path / "photos")


def test_what_is_shortened_is_whole_again_and_can_be_moved():
    paths = ["/a/b/1.jpg", "/a/b/c/2.jpg", "/elsewhere/3.jpg", "/a/bc/4.jpg", URL, ""]
    short = below("/a/b", paths)
    assert short == ["1.jpg", "c/2.jpg", "/elsewhere/3.jpg", "/a/bc/4.jpg", URL, ""]
    for kind in (pa.string(), pa.large_string()):
        assert placed("/a/b", pa.chunked_array([short], kind)).to_pylist() == paths
    assert placed("/new", pa.chunked_array([short])).to_pylist()[:3] == [
        "/new/1.jpg",
        "/new/c/2.jpg",
        "/elsewhere/3.jpg",
    ]


def test_a_table_keeps_its_other_columns(tmp_path):
    table = pa.table({"id": ["1", "2"], "path": ["/a/1.jpg", "/a/2.jpg"], "price": [1.0, 2.0]})
    (tmp_path / "items.parquet").write_bytes(table_bytes(table, "/a"))
    assert read_table(tmp_path / "items.parquet")["path"].to_pylist() == ["1.jpg", "2.jpg"]
    again = read_table(tmp_path / "items.parquet", "/new")
    assert again.column_names == table.column_names
    assert again["path"].to_pylist() == ["/new/1.jpg", "/new/2.jpg"]
    assert np.array_equal(again["price"], table["price"])
