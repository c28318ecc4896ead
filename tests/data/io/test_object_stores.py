import sys
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from object_store import store
from PIL import Image

from vsearch.data.catalogs.base import CatalogError
from vsearch.data.catalogs.table import TableCatalog
from vsearch.data.io.object_stores import PlaceError, check_readable, is_url, open_file
from vsearch.data.photos import (
    PhotoError,
    Preprocessing,
    open_photo,
    pixel_hash,
    read_hashed,
    read_square,
)

PREPROCESSING = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def shop():
    with store() as client:
        for number in range(4):
            client.put_object(Bucket="shop", Key=f"photos/{number}.png", Body=png(number))
        client.put_object(Bucket="shop", Key="photos/broken.png", Body=b"no photo")
        yield client


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (20, 14, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_url_is_told_from_a_path(tmp_path):
    assert [is_url(place) for place in ("s3://b/k", "a/b.jpg", "c:/x", tmp_path)] == [
        True,
        False,
        False,
        False,
    ]


def test_a_local_file_is_opened_as_ever(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with open_file(tmp_path / "a") as one, open_file(str(tmp_path / "a")) as other:
        assert one.read() == other.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "b")


def test_a_photo_in_a_bucket_is_the_same_as_on_the_disk(shop, tmp_path):
    (tmp_path / "1.png").write_bytes(png(1))
    local, remote = str(tmp_path / "1.png"), "s3://shop/photos/1.png"
    assert np.array_equal(read_square(remote, PREPROCESSING), read_square(local, PREPROCESSING))
    (square, digest), (other, same) = (
        read_hashed(place, PREPROCESSING) for place in (local, remote)
    )
    assert np.array_equal(square, other)
    assert digest == same == pixel_hash(open_photo(local))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://shop/photos/none.png", "s3://shop/photos/none.png: no such bucket or key"),
        ("s3://nowhere/1.png", "s3://nowhere/1.png: no such bucket or key"),
        ("s3://shop/photos/broken.png", "s3://shop/photos/broken.png: not one of JPEG"),
        ("http://localhost/1.png", "http://localhost/1.png: http:// is not supported, only s3://"),
    ],
)
def test_what_is_wrong_with_a_photo_in_a_bucket_is_said(shop, url, said):
    for read in (read_square, read_hashed):
        with pytest.raises(PhotoError) as raised:
            read(url, PREPROCESSING)
        assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Access Denied"), "no permission (Access Denied)"),
        (OSError("gone"), "can't be fetched"),
    ],
)
def test_no_permission_and_no_connection_are_said(shop, monkeypatch, error, said):
    from s3fs import S3FileSystem

    async def refused(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr("s3fs.S3FileSystem._cat_file", refused)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(PlaceError) as raised:
        open_file("s3://shop/photos/1.png")
    assert str(raised.value).startswith(said)
    S3FileSystem.clear_instance_cache()


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(PlaceError, match=f"{package} can't be imported .*--extra {scheme}"):
            check_readable(f"{scheme}://bucket/key")


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_table_in_a_bucket_and_its_relative_photos(shop, tmp_path, kind):
    table = pd.DataFrame(
        {"id": ["a", "b"], "path": ["photos/0.png", "./photos/1.png"], "label": ["x", "x"]}
    )
    table.to_parquet(tmp_path / "t") if kind == "parquet" else table.to_csv(
        tmp_path / "t", index=False, compression="gzip" if kind.endswith("gz") else None
    )
    shop.put_object(Bucket="shop", Key=f"items.{kind}", Body=(tmp_path / "t").read_bytes())
    items = TableCatalog(f"s3://shop/items.{kind}").items()
    assert items["path"].tolist() == ["s3://shop/photos/0.png", "s3://shop/photos/1.png"]
    assert read_square(items["path"][0], PREPROCESSING).shape == (3, 16, 16)


def local_table(folder, *paths: str):
    table = pd.DataFrame({"id": [str(n) for n in range(len(paths))], "path": paths, "label": "x"})
    table.to_csv(folder / "items.csv", index=False)
    return str(folder / "items.csv")


def test_a_local_table_may_name_photos_in_buckets_unless_a_root_is_set(shop, tmp_path):
    (tmp_path / "0.png").write_bytes(png(0))
    table = local_table(tmp_path, "0.png", "s3://shop/photos/1.png", "s3://shop/odd//../key.png")
    items = TableCatalog(table, min_images_per_label=1).read()
    assert items["path"].tolist() == [
        str(tmp_path / "0.png"),
        "s3://shop/photos/1.png",
        "s3://shop/odd//../key.png",
    ]
    for root in (str(tmp_path), "s3://shop/pho"):
        with pytest.raises(CatalogError, match="lead out of"):
            TableCatalog(table, root=root).read()
    under = local_table(tmp_path, "1.png", "s3://shop/photos/2.png")
    found = TableCatalog(under, root="s3://shop/photos", min_images_per_label=1).read()
    assert found["path"].tolist() == ["s3://shop/photos/1.png", "s3://shop/photos/2.png"]
    for path in ("../1.png", "/etc/1.png"):
        with pytest.raises(CatalogError, match="lead out of s3://shop/photos"):
            TableCatalog(local_table(tmp_path, path), root="s3://shop/photos").read()


def test_a_table_that_is_not_there_and_photos_that_can_never_be_read(shop, tmp_path):
    for kind in ("csv", "parquet"):
        with pytest.raises(CatalogError, match=rf"s3://shop/none.{kind}: no such bucket or key"):
            TableCatalog(f"s3://shop/none.{kind}").read()
    with pytest.raises(
        CatalogError, match="photos at https:// can't be read: https:// is not supported"
    ):
        TableCatalog(local_table(tmp_path, "https://example.com/1.png")).read()


@pytest.mark.parametrize("longest", [16, 63, 64, 65, 200])
@pytest.mark.parametrize("box", [None, (1, 1, 9, 9)])
def test_hashed_and_plain_reading_see_the_same(tmp_path, longest, box):
    pixels = np.random.default_rng(longest).integers(0, 255, (longest, 40, 3), dtype=np.uint8)
    path = str(tmp_path / "photo.jpg")
    Image.fromarray(pixels).save(path)
    for fill in ((255, 255, 255), (0, 0, 0)):
        preprocessing = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fill=fill)
        square, digest = read_hashed(path, preprocessing, box)
        assert np.array_equal(square, read_square(path, preprocessing, box))
        assert digest == pixel_hash(open_photo(path, box))
    with pytest.raises(PhotoError, match=r"none.jpg: no such file"):
        read_hashed(str(tmp_path / "none.jpg"), PREPROCESSING)
