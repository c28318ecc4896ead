import os
from itertools import count

import pandas as pd
import pytest
from PIL import Image

from vsearch.data.decoding import in_threads, scan


def test_copies_share_a_hash_and_broken_photos_have_an_error(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "copy.bmp")  # other bytes, same pixels
    Image.new("RGB", (8, 9), "red").save(tmp_path / "taller.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    names = ["a.png", "copy.bmp", "taller.png", "broken.png", "gone.png"]
    items = pd.DataFrame({"path": [str(tmp_path / name) for name in names]}, index=[3, 1, 4, 5, 9])
    found = scan(items, [None] * 5)
    assert found.index.tolist() == items.index.tolist()
    hashes = found["content_hash"].tolist()
    assert hashes[0] == hashes[1] != hashes[2]
    assert found["error"].notna().tolist() == [False, False, False, True, True]
    assert "broken.png" in found.loc[5, "error"]


def test_a_box_is_what_is_hashed(tmp_path):
    photo = Image.new("RGB", (8, 4), "red")
    photo.paste("blue", (4, 0, 8, 4))
    photo.save(tmp_path / "two.png")
    items = pd.DataFrame({"path": [str(tmp_path / "two.png")] * 3})
    hashes = scan(items, [(0, 0, 4, 4), (4, 0, 8, 4), (0, 0, 4, 4)])["content_hash"]
    assert hashes[0] == hashes[2] != hashes[1]


def test_no_items():
    assert scan(pd.DataFrame({"path": []}), []).empty


def test_results_come_in_order_and_only_a_few_sources_are_read_ahead():
    read = []

    def sources():
        for number in count():
            read.append(number)
            yield number

    found = in_threads(lambda number: number * number, sources())
    assert [next(found) for _ in range(100)] == [number * number for number in range(100)]
    assert len(read) <= 100 + 16 * (os.cpu_count() or 1)
    found.close()


def test_every_source_is_taken_and_an_error_comes_through():
    assert list(in_threads(str, range(1000))) == [str(number) for number in range(1000)]
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 / number, [2, 1, 0]))
