import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsearch.data.photos import open_photo, pixel_hash
from vsearch.evaluation.catalog_check.photo_facts import plainness, read_photo_facts


def test_plainness_is_that_of_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    pixels[:20] = (200, 210, 220)
    spread, plain = plainness(Image.fromarray(pixels))
    assert spread == pytest.approx(pixels.reshape(-1, 3).std(0).max())
    shares = [
        (np.abs(pixels[..., c].astype(int) - value) <= 8).mean()
        for c, value in enumerate((200, 210, 220))
    ]
    assert plain == pytest.approx(min(shares))


def test_plainness_by_hand():
    assert plainness(Image.new("RGB", (8, 8), (9, 200, 40))) == (0, 1)
    half = Image.new("RGB", (8, 8), "white")
    half.paste((0, 255, 255), (0, 0, 4, 8))
    assert plainness(half) == (127.5, 0.5)  # red tells


def test_each_photo_is_looked_at(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
    photo.save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_text("no photo")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    paths = [str(tmp_path / name) for name in ("a.png", "bad.png", "gone.png", "dot.png", "a.png")]
    box = {
        "x_1": [None] * 4 + [10],
        "y_1": [None] * 4 + [0],
        "x_2": [None] * 4 + [40],
        "y_2": [None] * 4 + [20],
    }
    facts = read_photo_facts(pd.DataFrame({"path": paths, **box}))
    assert facts.readable.tolist() == [0, 3, 4]
    assert [error is None for error in facts.error] == [True, False, False, True, True]
    assert facts.size.tolist() == [[90, 50], [0, 0], [0, 0], [1, 1], [30, 20]]
    assert facts.content_hash[:3] == [pixel_hash(photo), None, None]
    assert facts.content_hash[4] == pixel_hash(open_photo(paths[0], (10, 0, 40, 20)))
    assert facts.cells[3].tolist() == [[[255, 0, 0]] * 8] * 8
    square = (
        np.asarray(photo.resize((64, 64), Image.Resampling.BILINEAR))
        .reshape(8, 8, 8, 8, 3)
        .mean((1, 3))
    )
    assert np.abs(facts.cells[0] - square).max() < 1


def test_no_photos():
    assert len(read_photo_facts(pd.DataFrame({"path": []})).readable) == 0
