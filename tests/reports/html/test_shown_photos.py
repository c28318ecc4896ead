from base64 import b64decode
from io import BytesIO

import pandas as pd
from PIL import Image

from vsearch.reports.html.photos import Photos


def opened(uri: str) -> Image.Image:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(BytesIO(b64decode(data)))


def table(tmp_path, size=(200, 100), **columns) -> pd.DataFrame:
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "photo.png")
    return pd.DataFrame({"path": [str(tmp_path / "photo.png"), "missing.png"], **columns})


def test_a_photo_is_small_and_keeps_its_aspect(tmp_path):
    photos = Photos()
    key = photos.want(table(tmp_path), 0, "item", 50)
    assert opened(photos.encoded(10_000)[key]).size == (50, 25)


def test_a_box_is_cut_out(tmp_path):
    photos = Photos()
    key = photos.want(table(tmp_path, x_1=0.0, y_1=0.0, x_2=30.0, y_2=60.0), 0, "item", 50)
    assert opened(photos.encoded(10_000)[key]).size == (25, 50)


def test_a_photo_is_kept_once_for_each_size(tmp_path):
    photos, items = Photos(), table(tmp_path)
    assert photos.want(items, 0, "item", 50) == photos.want(items, 0, "item", 50)
    assert photos.want(items, 0, "item", 50) != photos.want(items, 0, "query", 50)
    photos.want(items, 0, "item", 20)
    assert len(photos.encoded(100_000)) == 3


def test_what_is_missing_or_has_no_room_is_left_out(tmp_path):
    photos, items = Photos(), table(tmp_path)
    gone, first, second = (
        photos.want(items, *what) for what in ((1, "item"), (0, "item"), (0, "query"))
    )
    whole = photos.encoded(100_000)
    assert set(whole) == {first, second}
    assert gone not in whole
    assert set(photos.encoded(len(whole[first]) + 30)) == {first}
    assert photos.encoded(0) == {}
