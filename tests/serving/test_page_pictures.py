import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image

from vsearch.serving.messages import Heatmap, Region
from vsearch.serving.page import pictures
from vsearch.serving.page.pictures import (
    Bounds,
    Picture,
    box_chart,
    darken_outside,
    overlay,
    picture,
    region_of,
)


def encoded(image, kind="JPEG", **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def test_a_large_photo_is_shown_small_and_its_own_size_is_kept():
    found = picture(encoded(Image.new("RGB", (2000, 1000), (9, 200, 9))))
    assert found.size == (2000, 1000)
    assert found.shown.size == (640, 320)


def test_a_photo_that_was_turned_is_upright_and_so_are_its_sides():
    turned = Image.Exif()
    turned[0x0112] = 6
    found = picture(encoded(Image.new("RGB", (80, 40)), exif=turned))
    assert found.size == found.shown.size == (40, 80)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK"])
def test_any_kind_is_shrunk_and_turned(kind, mode):
    turned = Image.Exif()
    turned[0x0112] = 8
    try:
        data = encoded(Image.new("RGB", (1400, 700), "red").convert(mode), kind, exif=turned)
    except OSError:
        pytest.skip(f"there is no {kind} of mode {mode}")
    found = picture(data)
    assert (found.shown.mode, found.shown.size, found.size) == ("RGB", (320, 640), (700, 1400))


def test_an_animation_s_first_frame_is_shown():
    frames = [Image.new("RGB", (1000, 500), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert picture(data).shown.getpixel((9, 9)) == (255, 0, 0)


def test_photos_are_decoded_one_at_a_time():
    with pictures.ONE_AT_A_TIME:
        thread = threading.Thread(target=picture, args=[encoded(Image.new("RGB", (9, 9)))])
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        encoded(Image.new("RGB", (40, 40)))[:300],
        encoded(Image.new("1", (9000, 9000)), "PNG"),
        encoded(Image.new("1", (7000, 7000)), "PNG"),
        encoded(Image.new("L", (6000, 4100)), "WEBP"),
        encoded(Image.new("1", (5000, 5000)), "BMP"),
        encoded(Image.new("L", (7100, 7100)), "JPEG"),
    ],
)
def test_what_can_not_be_shown_is_not(data):
    assert picture(data) is None


def test_a_region_in_percent_is_one_in_pixels_of_the_photo():
    photo = Picture(Image.new("RGB", (64, 32)), (2000, 1000))
    assert region_of(photo, (0, 100), (0, 100)) is None
    assert region_of(photo, (25, 75), (10, 60)) == Region(500, 100, 1000, 500)


def test_outside_of_the_region_it_is_darker():
    photo = Picture(Image.new("RGB", (64, 32), (200, 200, 200)), (640, 320))
    found = np.asarray(darken_outside(photo, Region(320, 0, 320, 160)))[..., 0]
    assert found[:16, 32:].min() == 200
    assert found[16:].max() == found[:, :32].max() == 70
    assert darken_outside(photo, None) is photo.shown


def test_heat_lies_where_the_network_saw_the_part():
    grey = Image.new("RGB", (80, 40), (128, 128, 128))
    heat = Heatmap(
        parts=[[0.0, 0.0], [0.0, 0.5]], box=(0, -0.5, 1, 1.5)
    )  # a square around a wide photo
    found = np.asarray(overlay(grey, heat, Bounds.of(heat))).astype(int)
    red = found[..., 0] - found[..., 2]
    assert red[30:, 60:].min() > 50
    assert abs(red[:10, :20]).max() == 0


def test_what_speaks_against_is_cold_and_faint_parts_are_faint():
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    heat = Heatmap(parts=[[-0.5, 0.1]], box=(0, 0, 1, 1))
    found = np.asarray(overlay(grey, heat, Bounds.of(heat))).astype(int)
    assert found[20, 2, 2] - found[20, 2, 0] > 50
    assert 0 < found[20, 38, 0] - found[20, 38, 2] < 50


def test_where_all_parts_raise_the_score_the_least_is_grey_and_the_most_red():
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    heat, other = (Heatmap(parts=[parts], box=(0, 0, 1, 1)) for parts in ([0.2, 0.3], [0.25, 0.25]))
    assert Bounds.of(heat, other) == Bounds(0.2, 0.3)
    found = np.asarray(overlay(grey, heat, Bounds.of(heat, other))).astype(int)
    assert abs(found[20, 2, 0] - found[20, 2, 2]) < 5
    assert found[20, 38, 0] - found[20, 38, 2] > 100


def test_equal_parts_are_all_shown():
    assert Bounds.of(Heatmap(parts=[[0.9]], box=(0, 0, 1, 1))) == Bounds(0, 0.9)


def test_a_box_is_dragged_on_a_small_copy_in_the_photo_s_shape():
    shown = picture(encoded(Image.new("RGB", (2000, 1000), (9, 200, 9))))
    chart = box_chart(shown)
    assert (chart["width"], chart["height"]) == (208, 104)
    data = chart["data"]["values"][0]["url"].partition("base64,")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (416, 208)
    assert shown.shown.size == (640, 320)
