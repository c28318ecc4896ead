"""Photos that are none, that are broken, that say they are larger than they are, and small files
that would take minutes to decode.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
BLACK = Image.new("RGB", (64, 64))


def encode(photo: Image.Image | np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    image = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def large(width: int, height: int) -> Image.Image:
    """A smooth picture, as photos are."""
    return Image.fromarray(PICTURE).resize((width, height), Image.Resampling.BICUBIC)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int,
    height: int,
    bits: int = 8,
    colour: int = 0,
    rows: bytes = b"",
    transparent: bytes | None = None,
) -> bytes:
    """A PNG by hand, for what Pillow can't write; its size is what it says, not what it holds."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header)]
    if transparent is not None:
        chunks.append(chunk(b"tRNS", transparent))
    chunks += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def black_png(width: int, height: int) -> bytes:
    """A whole grey PNG, a thousand times smaller than its pixels."""
    return png(width, height, rows=bytes((width + 1) * height))


def webp(width: int, height: int) -> bytes:
    """A WebP whose canvas is so large, around a small picture."""
    data = encode(Image.new("RGBA", (64, 64), (1, 2, 3, 4)), "WEBP")
    at = data.index(b"VP8X") + 12
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return data[:at] + canvas + data[at + 6 :]


def pipe(folder: Path, name: str = "pipe.jpg") -> Path:
    """A named pipe, which nobody will ever write to."""
    os.mkfifo(folder / name)
    return folder / name


# What begins as no photo does.
NOT_PHOTOS = [
    b"",
    b"\n",
    b"hello",
    b"This is a text file renamed .jpg",
    b"<!doctype html><html><script>alert(1)</script></html>",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    b"%!PS-Adobe-3.0 EPSF-3.0\n",
    b"%PDF-1.7",
    b"P6 1 1 255\nabc",
    b"II*\0\x08\0\0\0\0\0\0\0",
    b"RIFF\0\0\0\0WAVE",
    b"GIF80a",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
]

BOMB = black_png(9000, 9000)
BROKEN = {
    "bomb": BOMB,
    "bomb of a header": png(100_000, 100_000),
    "bomb of a canvas": webp(16383, 16383),
    "truncated JPEG": encode(large(600, 600), "JPEG", quality=95)[:3000],
    "truncated PNG": encode(PICTURE)[:60],
    "a BMP of zeros": b"BM" + bytes(50),
    "the start of a JPEG": b"\xff\xd8\xff",
    "the start of a GIF": b"GIF89a",
    "a PNG without pixels": encode(PICTURE).replace(b"IDAT", b"IDAX"),
}

_LONG = zlib.compress(bytes(3_000_000))
NOTES = {
    "compressed text": chunk(b"zTXt", b"note\0\0" + _LONG),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + _LONG),
    "profile": chunk(b"iCCP", b"icc\0\0" + _LONG),
    "many texts": chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1_000_000))) * 70,
}


def noted(note: bytes, before: bytes = b"IDAT") -> bytes:
    """A PNG with these chunks before another: before its pixels, or IEND, after them."""
    plain = encode(PICTURE)
    at = plain.index(before) - 4
    return plain[:at] + note + plain[at:]


def scans(side: int, count: int, **options: Any) -> bytes:
    """A progressive JPEG whose last scan comes `count` times more."""
    data = encode(Image.new("L", (side, side)), "JPEG", progressive=True, **options)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + b"\xff\xd9"


def scans_of_one_id(side: int, count: int) -> bytes:
    """A progressive JPEG in which a small component and a large one share their id."""

    def segment(kind: int, *body: int) -> bytes:
        return b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + bytes(body)

    sides = struct.pack(">HH", side, side)
    components = (1, 0x44, 0, 1, 0x11, 0, 3, 0x44, 0)
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, 0, *[16] * 64),
            segment(0xC2, 8, *sides, 3, *components),
            segment(0xC4, 0x00, 1, *[0] * 15, 0),
            segment(0xC4, 0x10, 1, 1, *[0] * 14, 0xE0, 0),
            segment(0xDA, 1, 1, 0, 0, 0, 0) + bytes(8),
            segment(0xDA, 1, 3, 0, 0, 0, 0) + bytes(8),
            (segment(0xDA, 1, 1, 0, 1, 63, 0x10) + bytes(96)) * count,
            b"\xff\xd9",
        ]
    )


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
    """A JPEG with a segment that comes often."""
    return _behind(encode(BLACK, "JPEG"), 2, part * count)


def chunks(part: bytes, count: int) -> bytes:
    """A PNG with a chunk that comes often."""
    return _behind(encode(BLACK, "PNG"), 33, part * count)


def blocks(part: bytes, count: int) -> bytes:
    """A GIF with a block that comes often before its frame."""
    data = encode(BLACK, "GIF")
    palette = 3 * 2 ** ((data[10] & 7) + 1)
    return _behind(data, 13 + palette, part * count)


def _behind(data: bytes, start: int, part: bytes) -> bytes:
    return data[:start] + part + data[start:]


_PROFILE = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))
COSTLY: dict[str, Callable[[], bytes]] = {
    "scans": lambda: scans(5000, 200),
    "scans of a small photo": lambda: scans(200, 60_000),
    "scans with restarts": lambda: scans(5000, 200, restart_marker_rows=1),
    "scans of one id": lambda: scans_of_one_id(6900, 650),
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
    "colour profiles": lambda: chunks(_PROFILE, 50),
    "EXIF": lambda: chunks(chunk(b"eXIf", exif(1000, 1_000_000)), 1),
    "big-endian EXIF": lambda: chunks(chunk(b"eXIf", exif(1000, 1_000_000, ">")), 1),
    "pieces": lambda: chunks(chunk(b"IDAT"), 200_000),
    "extensions of a GIF": lambda: blocks(b"\x21\xfe\1x\0", 200_000),
    "filling of a GIF": lambda: blocks(b"\0", 200_000),
    "a GIF's comment in pieces": lambda: blocks(b"\x21\xfe" + b"\1x" * 200_000 + b"\0", 1),
    "EXIF of a WebP": lambda: encode(BLACK, "WEBP", exif=exif(1000, 1_000_000)),
    "runs": runs,
}


def hostile() -> dict[str, Callable[[], bytes]]:
    """All of them by name, and large ones that are right: each is made when it is asked for."""
    made: dict[str, Callable[[], bytes]] = {**COSTLY}
    for number, data in enumerate(NOT_PHOTOS):
        made[f"no photo {number}"] = lambda data=data: data  # type: ignore[misc]
    for name, data in BROKEN.items():
        made[name] = lambda data=data: data  # type: ignore[misc]
    for name, note in NOTES.items():
        made[f"a PNG with {name}"] = lambda note=note: noted(note)  # type: ignore[misc]
    made["a PNG of 49 megapixels"] = lambda: black_png(7000, 7000)
    return made
