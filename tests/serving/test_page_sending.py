import io

import numpy as np
import pytest
from PIL import Image

from vsearch.serving.page import sending
from vsearch.serving.page.sending import SIDE, made_sendable


def encoded(photo: Image.Image, kind: str, **settings) -> bytes:
    file = io.BytesIO()
    photo.save(file, kind, **settings)
    return file.getvalue()


def large(kind: str, **settings) -> bytes:
    """A photo of more bytes than are sent, black at the left."""
    noise = np.random.default_rng(0).integers(0, 256, (2200, 3000, 3), dtype=np.uint8)
    noise[:, :1500] = 0
    return encoded(Image.fromarray(noise), kind, **settings)


def test_a_small_photo_is_sent_byte_for_byte():
    data = encoded(Image.new("RGB", (4000, 10)), "PNG")
    assert made_sendable(data) is data


@pytest.mark.parametrize(("kind", "settings"), [("PNG", {"compress_level": 0}), ("BMP", {})])
def test_a_large_photo_becomes_a_small_jpeg(kind, settings):
    data = large(kind, **settings)
    assert len(data) > sending.LARGEST
    sent = made_sendable(data)
    photo = Image.open(io.BytesIO(sent))
    assert (photo.format, photo.size) == ("JPEG", (SIDE, 1502))
    assert len(sent) < 0.2 * sending.LARGEST


def test_it_stands_upright_and_has_no_orientation_any_more(monkeypatch):
    monkeypatch.setattr(sending, "LARGEST", 1_000_000)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise: what was left is on top
    sent = made_sendable(large("JPEG", quality=95, exif=turned))
    photo = Image.open(io.BytesIO(sent))
    assert photo.size == (1502, SIDE)
    assert not photo.getexif()
    pixels = np.asarray(photo.convert("L"))
    assert pixels[:1000].mean() < 5 < 50 < pixels[1100:].mean()


@pytest.mark.parametrize("start", [b"", b"no photo"])
def test_what_can_not_be_read_is_left_to_the_service(start):
    data = start + large("PNG", compress_level=0)[: sending.LARGEST + 1]
    assert made_sendable(data) is data


def test_a_photo_that_takes_too_much_memory_is_left_to_the_service(monkeypatch):
    data = large("BMP")
    monkeypatch.setattr(sending, "MOST_DECODED", 1_000_000)
    assert made_sendable(data) is data
