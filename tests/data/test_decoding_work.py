"""Small files that would take minutes to decode."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from vsearch.data.decoding_work import check_work
from vsearch.data.photos import PhotoError, open_photo

BLACK = Image.new("RGB", (64, 64))


def encode(photo: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, form, **options)
    return stream.getvalue()


def scans(side: int, count: int, **options: object) -> bytes:
    """A progressive JPEG whose last scan comes `count` times more."""
    data = encode(Image.new("L", (side, side)), "JPEG", progressive=True, **options)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + b"\xff\xd9"


def behind_start(data: bytes, part: bytes, count: int, start: int = 2) -> bytes:
    return data[:start] + part * count + data[start:]


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(tags: int, size: int, order: str = "<") -> bytes:
    """EXIF whose tags all say that the same bytes are theirs."""
    entries = [struct.pack(order + "HHII", 1000 + tag, 7, size, 8) for tag in range(tags)]
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    listed = start + struct.pack(order + "H", tags) + b"".join(entries) + bytes(4)
    return listed + bytes(max(0, 8 + size - len(listed)))


def runs() -> bytes:
    """A BMP of runs of one pixel."""
    data = bytearray(encode(Image.new("P", (2000, 2000)), "BMP")[: 54 + 1024])
    data[30] = 1
    return bytes(data) + b"\1\0" * 2_000_000


def segments(part: bytes, count: int) -> bytes:
    return behind_start(encode(BLACK, "JPEG"), part, count)


def chunks(part: bytes, count: int) -> bytes:
    return behind_start(encode(BLACK, "PNG"), part, count, start=33)


PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))
COSTLY: dict[str, Callable[[], bytes]] = {
    "scans": lambda: scans(5000, 200),
    "scans of a small photo": lambda: scans(200, 60_000),
    "scans with restarts": lambda: scans(5000, 200, restart_marker_rows=1),
    "filled scans": lambda: scans(5000, 200).replace(b"\xff\xda", b"\xff\xff\xff\xda"),
    "arithmetic scans": lambda: scans(5000, 20).replace(b"\xff\xc2", b"\xff\xca", 1),
    "application segments": lambda: segments(b"\xff\xe5\0\2", 20_000),
    "comments": lambda: segments(b"\xff\xfe\0\2", 20_000),
    "filling": lambda: segments(b"\xff", 200_000),
    "zeros between": lambda: segments(b"\xff\0", 200_000),
    "EXIF in pieces": lambda: segments(
        b"\xff\xe1" + struct.pack(">H", 60_008) + b"Exif\0\0" + exif(4000, 60_000)[:60_000], 1
    ),
    "chunks": lambda: chunks(chunk(b"prVt"), 20_000),
    "texts": lambda: chunks(chunk(b"tEXt", b"a\0b"), 20_000),
    "colour profiles": lambda: chunks(PROFILE, 50),
    "EXIF": lambda: chunks(chunk(b"eXIf", exif(1000, 1_000_000)), 1),
    "big-endian EXIF": lambda: chunks(chunk(b"eXIf", exif(1000, 1_000_000, ">")), 1),
    "EXIF of a WebP": lambda: encode(BLACK, "WEBP", exif=exif(1000, 1_000_000)),
    "runs": runs,
}


@pytest.mark.parametrize("kind", COSTLY)
def test_what_costs_far_more_than_its_pixels_is_refused_at_once(kind: str) -> None:
    data = COSTLY[kind]()
    start = time.thread_time()
    with pytest.raises(PhotoError, match="far longer to decode than its pixels are worth"):
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


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_of_many_parts_still_says_where_up_is(form: str) -> None:
    made = Image.Exif()
    made[0x0112] = 6
    made[0x010E] = "a shoe" * 1000
    made.get_ifd(0x8769)[0x927C] = bytes(20_000)
    photo = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    assert open_photo(encode(photo, form, exif=made)).size == (4, 6)
