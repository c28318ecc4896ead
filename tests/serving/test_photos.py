import numpy as np
import pytest
from adversarial.photos import BOMB, BROKEN, NOT_PHOTOS
from PIL import Image
from small_service import encoded, picture, upload

from vsearch.data.photos import Preprocessing, read_square
from vsearch.serving.api.photos import decode
from vsearch.serving.messages import Region

GREY = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("data", NOT_PHOTOS)
def test_what_is_no_photo_is_415(client, data):
    reply = upload(client, data)
    assert (reply.status_code, reply.headers["content-type"]) == (415, "application/problem+json")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_photos_and_bombs_are_422(client, name):
    reply = upload(client, BROKEN[name])
    assert reply.status_code == 422, reply.text
    assert reply.json()["detail"].strip()
    assert "<bytes>" not in reply.text


@pytest.mark.parametrize("data", [b"\xff\xd8\xff" + bytes(50), b"GIF89a<script>"])
def test_what_only_begins_as_a_photo_is_called_damaged(client, data):
    assert (
        upload(client, data).json()["detail"].startswith("it begins like a photo, but is damaged.")
    )


def test_the_size_is_known_before_anything_is_decoded(client):
    assert len(BOMB) < 100_000
    reply = upload(client, BOMB)
    assert "9000 x 9000 pixels; 50,000,000 are allowed" in reply.json()["detail"]
    assert max(reply.elapsed.total_seconds(), 0) < 1


def test_a_region_is_what_a_box_is():
    data = encoded(picture(5, 60, 40))
    seen = decode(data, GREY, Region(3.2, 4.8, 20, 30), 10_000)
    assert np.array_equal(seen.square, read_square(data, GREY, (3.2, 4.8, 23.2, 34.8)))


@pytest.mark.parametrize(
    ("size", "region", "box"),
    [
        ((40, 40), None, (0, 0, 1, 1)),
        ((40, 20), None, (0, -0.5, 1, 1.5)),
        ((20, 40), None, (-0.5, 0, 1.5, 1)),
        ((100, 50), Region(20, 10, 40, 20), (0.2, 0.0, 0.6, 0.8)),
    ],
)
def test_where_the_network_looks(size, region, box):
    assert decode(encoded(picture(5, *size)), GREY, region, 10_000).box == pytest.approx(box)


def test_the_box_is_where_the_pixels_are():
    photo = np.full((50, 100, 3), 255, np.uint8)
    photo[10:20, 60:70] = 0
    seen = decode(encoded(Image.fromarray(photo)), GREY, None, 10_000)
    rows, columns = np.nonzero(seen.square[0] < 128)
    left, top, right, bottom = seen.box
    x, y = (
        left + (columns.mean() + 0.5) / 16 * (right - left),
        top + (rows.mean() + 0.5) / 16 * (bottom - top),
    )
    assert (x, y) == pytest.approx((0.65, 0.3), abs=0.03)
