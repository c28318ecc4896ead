"""Small files that would take minutes to decode."""

import io
import struct
import time

import numpy as np
import pytest
from adversarial.photos import BLACK, COSTLY, blocks, chunk, chunks, encode, scans
from PIL import Image

from vsearch.data.decoding_work import check_work
from vsearch.data.photos import PhotoError, open_photo


@pytest.mark.parametrize("kind", COSTLY)
def test_what_costs_far_more_than_its_pixels_is_refused_at_once(kind: str) -> None:
    data = COSTLY[kind]()
    start = time.thread_time()
    with pytest.raises(PhotoError, match="decoding it would take far longer than usual"):
        open_photo(data, side=224)
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_the_largest_progressive_photo_is_no_work_to_speak_of(subsampling: str) -> None:
    data = encode(BLACK, "JPEG", progressive=True, subsampling=subsampling)
    side = struct.pack(">HH", *BLACK.size)
    check_work(io.BytesIO(data.replace(side, struct.pack(">HH", 10_000, 10_000), 1)))


def test_a_profile_and_a_comment_are_no_work_to_speak_of() -> None:
    data = encode(BLACK, "JPEG", icc_profile=bytes(300_000), comment=b"a" * 60_000)
    assert open_photo(data).size == BLACK.size


def test_a_jpeg_behind_a_photo_does_not_count() -> None:
    data = encode(BLACK, "JPEG") + scans(2000, 2000)
    assert open_photo(data).size == BLACK.size


def test_texts_and_pieces_as_cameras_and_editors_write_them_are_no_work_to_speak_of() -> None:
    data = blocks(b"\x21\xff\x0bXMP DataXMP" + (b"\x40" + bytes(64)) * 20_000 + b"\0", 1)
    assert open_photo(data).size == BLACK.size
    data = chunks(chunk(b"IDAT"), 20_000)
    check_work(io.BytesIO(data))


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_of_an_animation_only_the_first_frame_is_decoded(form: str) -> None:
    frames = [Image.new("RGB", (1000, 1000), (shade, 0, 0)) for shade in (200, *range(100))]
    file = io.BytesIO()
    frames[0].save(file, form, save_all=True, append_images=frames[1:], lossless=True)
    start = time.thread_time()
    photo = open_photo(file.getvalue())
    assert time.thread_time() - start < 0.5
    assert photo.getpixel((500, 500)) == (200, 0, 0)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_of_many_parts_still_says_where_up_is(form: str) -> None:
    made = Image.Exif()
    made[0x0112] = 6
    made[0x010E] = "a shoe" * 1000
    made.get_ifd(0x8769)[0x927C] = bytes(20_000)
    photo = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    assert open_photo(encode(photo, form, exif=made)).size == (4, 6)
