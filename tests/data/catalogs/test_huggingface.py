import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsearch.data.catalogs.base import CatalogError
from vsearch.data.catalogs.huggingface import HuggingFaceCatalog
from vsearch.data.decoding import scan

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def photo(colour: str, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, format=kind)
    return buffer.getvalue()


PHOTOS = [photo("red"), photo("green", "PNG"), photo("blue", "WEBP"), photo("white", "GIF")]


def table(**columns: list) -> Any:
    images = [{"bytes": content, "path": "misleading.txt"} for content in PHOTOS]
    rows = {
        "image": images,
        "label": [0, 0, 1, 1],
        "price": [1, 2, 3, 4],
        "tags": [["a"]] * 4,
        **columns,
    }
    dataset = datasets.Dataset.from_dict({name: column for name, column in rows.items() if column})
    dataset = dataset.cast_column("image", datasets.Image())
    return dataset.cast_column("label", datasets.ClassLabel(names=["bag", "hat"]))


@pytest.fixture
def source(tmp_path: Path) -> str:
    table().to_parquet(tmp_path / "source.parquet")
    return str(tmp_path / "source.parquet")


def test_photos_are_exported_byte_for_byte(tmp_path: Path, source: str) -> None:
    catalog = HuggingFaceCatalog(source, folder=str(tmp_path / "deep" / "export"))
    catalog.prepare()
    items = catalog.items()
    assert [Path(path).read_bytes() for path in items["path"]] == PHOTOS
    assert [Path(path).name for path in items["path"]] == ["0.jpg", "1.png", "2.webp", "3.gif"]
    assert list(items) == ["id", "path", "label", "price"]  # lists are no metadata
    assert list(items["id"]) == ["0", "1", "2", "3"]
    assert list(items["label"]) == ["bag", "bag", "hat", "hat"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["export"]


def test_an_export_can_be_moved(tmp_path: Path, source: str) -> None:
    HuggingFaceCatalog(source, folder=str(tmp_path / "export")).prepare()
    (tmp_path / "export").rename(tmp_path / "moved")
    assert len(HuggingFaceCatalog(source, folder=str(tmp_path / "moved")).items()) == 4


def test_an_export_is_used_again(tmp_path: Path, source: str) -> None:
    HuggingFaceCatalog(source, folder=str(tmp_path / "export")).prepare()
    Path(source).unlink()
    HuggingFaceCatalog(source, folder=str(tmp_path / "export"), min_images_per_label=1).prepare()


def test_another_export_is_not_overwritten(tmp_path: Path, source: str) -> None:
    HuggingFaceCatalog(source, folder=str(tmp_path / "export")).prepare()
    other = HuggingFaceCatalog(source, label="price", folder=str(tmp_path / "export"))
    for action in (other.prepare, other.read):
        with pytest.raises(CatalogError, match="Choose another folder, or delete this one"):
            action()
    (tmp_path / "mine").mkdir()
    with pytest.raises(CatalogError, match="holds something else"):
        HuggingFaceCatalog(source, folder=str(tmp_path / "mine")).prepare()
    assert json.loads((tmp_path / "export" / "settings.json").read_text())["label"] == "label"


def test_reading_needs_the_export(tmp_path: Path, source: str) -> None:
    with pytest.raises(CatalogError, match=r"call prepare\(\) first"):
        HuggingFaceCatalog(source, folder=str(tmp_path / "export")).read()


def test_other_columns_can_be_used(tmp_path: Path) -> None:
    table(sku=["007", "8", "9", "10"], kind=["x", "x", "y", "y"], id=[5, 6, 7, 8]).rename_column(
        "image", "photo"
    ).to_parquet(tmp_path / "t.parquet")
    catalog = HuggingFaceCatalog(
        str(tmp_path / "t.parquet"),
        image="photo",
        label="kind",
        id="sku",
        folder=str(tmp_path / "export"),
    )
    catalog.prepare()
    items = catalog.items()
    assert list(items["id"]) == ["007", "8", "9", "10"]
    assert list(items["label"]) == ["x", "x", "y", "y"]
    assert list(items["label_original"]) == ["bag", "bag", "hat", "hat"]
    assert list(items["id_original"]) == [5, 6, 7, 8]


def test_all_splits_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    table(split=["x"] * 4).to_parquet(tmp_path / "source" / "train.parquet")
    table(split=["y"] * 4).to_parquet(tmp_path / "source" / "test.parquet")
    catalog = HuggingFaceCatalog(
        str(tmp_path / "source"), split=None, folder=str(tmp_path / "export")
    )
    catalog.prepare()
    items = catalog.items()
    assert items["split"].value_counts().to_dict() == {"train": 4, "test": 4}
    assert set(items["split_original"]) == {"x", "y"}
    assert list(items["id"]) == [str(number) for number in range(8)]
    assert [Path(path).read_bytes() for path in items["path"]] == PHOTOS * 2


def test_photos_beside_the_table_are_copied(tmp_path: Path) -> None:
    for label, content in zip(["bag", "bag", "hat", "hat"], PHOTOS, strict=True):
        folder = tmp_path / "source" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{PHOTOS.index(content)}.jpg").write_bytes(content)
    catalog = HuggingFaceCatalog(str(tmp_path / "source"), folder=str(tmp_path / "export"))
    catalog.prepare()
    items = catalog.items()
    assert sorted(Path(path).read_bytes() for path in items["path"]) == sorted(PHOTOS)
    assert list(items["label"].value_counts().sort_index().items()) == [("bag", 2), ("hat", 2)]


def test_small_labels_are_dropped(tmp_path: Path) -> None:
    table(label=[0, 0, 0, 1]).to_parquet(tmp_path / "t.parquet")
    catalog = HuggingFaceCatalog(str(tmp_path / "t.parquet"), folder=str(tmp_path / "export"))
    catalog.prepare()
    assert set(catalog.items()["label"]) == {"bag"}


def test_no_label_is_refused(tmp_path: Path) -> None:
    table(label=[0, 0, -1, -1]).to_parquet(tmp_path / "t.parquet")
    catalog = HuggingFaceCatalog(str(tmp_path / "t.parquet"), folder=str(tmp_path / "export"))
    catalog.prepare()
    with pytest.raises(CatalogError, match="2 of 4 items have no label"):
        catalog.items()


BOMB = (
    PHOTOS[3][:6] + struct.pack("<HH", 60_000, 60_000) + PHOTOS[3][10:]
)  # a GIF of 3.6 billion pixels, it says


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (None, "2.bin"),
        (b"", "2.bin"),
        (b"not a photo", "2.bin"),
        (PHOTOS[0][:90], "2.jpg"),
        (BOMB, "2.gif"),
    ],
)
def test_a_broken_image_is_exported_as_it_is_and_left_to_the_scan(
    tmp_path: Path, content: bytes | None, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    images = [
        {"bytes": each, "path": None} if each is not None else None
        for each in (*PHOTOS[:2], content, PHOTOS[3])
    ]
    table(image=images).to_parquet(tmp_path / "t.parquet")
    catalog = HuggingFaceCatalog(str(tmp_path / "t.parquet"), folder=str(tmp_path / "export"))
    catalog.prepare()
    items = catalog.items()
    assert [Path(path).name for path in items["path"]] == ["0.jpg", "1.png", name, "3.gif"]
    assert Path(items["path"][2]).read_bytes() == (content or b"")
    assert scan(items, [None] * 4)["error"].notna().tolist() == [False, False, True, False]
    said = (
        "1 of 4 rows have no image in 'image', the first is row 2 (from 0). "
        "They became empty files."
    )
    assert (said in caplog.text) == (not content)


def test_a_photo_that_is_gone_is_an_empty_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [str(tmp_path / f"{number}.jpg") for number in range(4)]
    for path in paths[:3]:
        Path(path).write_bytes(PHOTOS[0])
    datasets.Dataset.from_dict({"image": paths, "label": ["bag"] * 4}).to_parquet(
        tmp_path / "t.parquet"
    )
    catalog = HuggingFaceCatalog(str(tmp_path / "t.parquet"), folder=str(tmp_path / "export"))
    catalog.prepare()
    assert [Path(path).read_bytes() for path in catalog.items()["path"]] == [PHOTOS[0]] * 3 + [b""]
    assert "1 of 4 rows have no image in 'image', the first is row 3" in caplog.text


def test_arrays_become_png(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grey, colour = [[0, 7], [128, 255], [1, 2]], [[[1, 2, 3]], [[4, 5, 6]]]
    for name, good in (("grey", grey), ("colour", colour)):
        rows = {"image": [good, good, None, [*good, []]], "label": ["bag"] * 4}
        datasets.Dataset.from_dict(rows).to_parquet(tmp_path / f"{name}.parquet")
        catalog = HuggingFaceCatalog(str(tmp_path / f"{name}.parquet"), folder=str(tmp_path / name))
        catalog.prepare()
        paths = [Path(path) for path in catalog.items()["path"]]
        assert [path.name for path in paths] == ["0.png", "1.png", "2.bin", "3.bin"]
        assert paths[3].read_bytes() == b""  # ragged
        with Image.open(paths[0]) as image:
            assert (image.format, np.asarray(image).tolist()) == ("PNG", good)
    assert caplog.text.count("2 of 4 rows have no image in 'image', the first is row 2") == 2


def test_a_column_without_images_is_said(tmp_path: Path, source: str) -> None:
    with pytest.raises(
        CatalogError, match=r"column 'price' must hold images, but holds Value\('int64'\)"
    ):
        HuggingFaceCatalog(source, image="price", folder=str(tmp_path / "out" / "export")).prepare()
    assert not (tmp_path / "out").exists()


def test_a_changed_source_is_exported_again(
    tmp_path: Path, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "out" / "export"
    catalog = HuggingFaceCatalog(source, folder=str(folder))
    catalog.prepare()
    made = (folder / "items.parquet").stat().st_mtime_ns
    catalog.prepare()
    assert (folder / "items.parquet").stat().st_mtime_ns == made
    table(price=[5, 6, 7, 8]).to_parquet(source)
    catalog.prepare()
    assert catalog.items()["price"].tolist() == [5, 6, 7, 8]
    said = f"{source} has changed since it was exported to {folder}: exporting it again."
    assert said in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["export"]


def test_a_failing_second_export_keeps_the_first(tmp_path: Path, source: str) -> None:
    catalog = HuggingFaceCatalog(source, folder=str(tmp_path / "export"))
    catalog.prepare()
    table().rename_column("image", "photo").to_parquet(source)
    with pytest.raises(CatalogError, match="no column"):
        catalog.prepare()
    assert catalog.items()["price"].tolist() == [1, 2, 3, 4]


def test_a_changed_folder_is_exported_again(tmp_path: Path) -> None:
    for label in ("bag", "hat"):
        (tmp_path / "source" / label).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "source" / label / f"{number}.jpg").write_bytes(PHOTOS[0])
    catalog = HuggingFaceCatalog(str(tmp_path / "source"), folder=str(tmp_path / "export"))
    catalog.prepare()
    assert len(catalog.items()) == 4
    (tmp_path / "source" / "hat" / "2.jpg").write_bytes(PHOTOS[0])
    catalog.prepare()
    assert len(catalog.items()) == 5


def test_missing_columns_are_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(
        CatalogError, match=r"split train: no column\(s\) \['img'\]; it has \['image', 'label'"
    ):
        HuggingFaceCatalog(source, image="img", folder=str(tmp_path / "export")).prepare()


def test_the_missing_package_is_said(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CatalogError, match="uv sync --extra huggingface"):
        HuggingFaceCatalog(source, folder=str(tmp_path / "export")).prepare()
