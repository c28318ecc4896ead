"""Checks, before decoding, that a photo costs no more work than its number of pixels suggests."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vsearch.errors import VsearchError

# Samples in all scans of a JPEG together, about 1 ns each. A progressive photo of 100 megapixels in
# full colour has 1.4 billion; a small file can have a thousand times as many.
MOST_SAMPLES = 2_000_000_000
ARITHMETIC = 10  # times the work of Huffman codes
MOST_PARTS = 10_000  # segments of a JPEG, chunks of a PNG: Pillow takes 7 us for each
MOST_BLOCKS = 100_000  # pieces of a PNG's pixels; blocks before a GIF's first frame: 1 to 4 us each
LONGEST_FILLING = 100_000  # bytes between a JPEG's segments, which Pillow skips one by one
MOST_RUNS = 3_000_000  # bytes of a run-length coded BMP: Pillow takes 0.6 us for each

MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")  # not restarts, stuffed bytes or filling
END, SCAN, EXIF_SEGMENT = 0xD9, 0xDA, 0xE1
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the others are tables
ARITHMETIC_FRAMES = range(0xC9, 0xD0)
GIF_HEAD, GIF_FRAME, GIF_EXTENSION, GIF_END = 13, 0x2C, 0x21, 0x3B
EXIF = b"Exif\0\0"
TAG_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8)  # by TIFF type


class TooMuchWork(VsearchError):
    """Decoding a photo would take far more work than its number of pixels suggests."""


@dataclass(frozen=True)
class _Segment:
    """A part of a JPEG: its marker's second byte, its content, its start and its end."""

    kind: int
    body: bytes
    start: int
    end: int


def check_work(stream: BinaryIO) -> None:
    """Refuse a photo that costs far more to decode than its pixels; leave the stream as it was.

    JPEG, PNG, GIF and BMP are checked.

    Raises:
        TooMuchWork: there is too much of something; the message says of what.
    """
    start = stream.read(8)
    stream.seek(0)
    if start.startswith(b"\xff\xd8"):
        _check_jpeg(stream.read())
    elif start == b"\x89PNG\r\n\x1a\n":
        _check_png(stream)
    elif start.startswith((b"GIF87a", b"GIF89a")):
        _check_gif(stream.read())
    elif start.startswith(b"BM"):
        _check_bmp(stream.read())
    stream.seek(0)


def check_exif(exif: bytes) -> None:
    """Refuse EXIF whose tags share bytes: these would be copied for each tag."""
    exif = exif.removeprefix(EXIF)
    order = ">" if exif.startswith(b"MM") else "<"
    total = 0
    try:
        (offset,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, offset)
        for entry in range(count):
            _, kind, values = struct.unpack_from(order + "HHI", exif, offset + 2 + 12 * entry)
            total += values * TAG_BYTES[kind] if kind < len(TAG_BYTES) else 0
            _limit(total, 2 * len(exif), "bytes of EXIF tags")
    except struct.error:
        return  # damaged: Pillow gives up there too


def _check_jpeg(data: bytes) -> None:
    shares: dict[int, float] = {}  # each component's share of the photo's pixels
    pixels = factor = 0
    samples = 0.0
    exif = b""
    for number, segment in enumerate(_segments(data)):
        body = segment.body
        _limit(number, MOST_PARTS, "segments")
        if segment.kind in FRAMES and len(body) >= 6:
            height, width, count = struct.unpack_from(">HHB", body, 1)
            # a height of 0 is given after the first scan
            pixels = width * (height or 0xFFFF)
            factor = ARITHMETIC if segment.kind in ARITHMETIC_FRAMES else 1
            shares = _shares(body[6 : 6 + 3 * count])
        elif segment.kind == SCAN and body:
            scanned = body[1 : 1 + 2 * body[0] : 2]
            samples += factor * pixels * sum(shares.get(id, 1) for id in scanned)
            _limit(samples, MOST_SAMPLES, "samples in its scans")
        elif segment.kind == EXIF_SEGMENT and body.startswith(EXIF):
            exif += body.removeprefix(EXIF)
    check_exif(exif)


def _shares(components: bytes) -> dict[int, float]:
    """Return each id's share of the pixels; components with one id count with the largest."""
    areas: dict[int, int] = {}
    for start in range(0, len(components) - 2, 3):
        id, sampling = components[start : start + 2]
        area = (sampling >> 4) * (sampling & 15)
        areas[id] = max(area, areas.get(id, 0))
    largest = max([1, *areas.values()])
    return {id: area / largest for id, area in areas.items()}


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments that libjpeg would find, up to the end of the first picture."""
    at = 2
    is_head = True
    while (found := MARKER.search(data, at)) and found[0][1] != END:
        kind = found[0][1]
        if is_head:
            _limit(found.start() - at, LONGEST_FILLING, "bytes of filling")
        is_head = is_head and kind != SCAN
        length = int.from_bytes(data[found.end() : found.end() + 2])
        end = found.end() + max(2, length)
        yield _Segment(kind, data[found.end() + 2 : end], found.start(), end)
        at = end


def _check_png(stream: BinaryIO) -> None:
    stream.seek(8)
    pieces = others = profiles = 0
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        length = int.from_bytes(head[:4])
        pieces += head[4:] == b"IDAT"
        others += head[4:] != b"IDAT"
        profiles += head[4:] == b"iCCP"
        _limit(pieces, MOST_BLOCKS, "pieces of its pixels")
        _limit(others, MOST_PARTS, "chunks")
        _limit(profiles, 1, "colour profile")
        if head[4:] == b"eXIf":
            check_exif(stream.read(length))
            stream.seek(4, 1)
        else:
            stream.seek(length + 4, 1)


def _check_gif(data: bytes) -> None:
    blocks = 0
    at = GIF_HEAD
    if len(data) >= GIF_HEAD and data[10] & 0x80:  # a palette comes first
        at += 3 * 2 ** ((data[10] & 7) + 1)
    while at < len(data) and data[at] not in (GIF_FRAME, GIF_END):
        is_extension = data[at] == GIF_EXTENSION
        at += 2 if is_extension else 1  # anything else is filling
        blocks += 1
        while is_extension and at < len(data) and data[at]:
            at += 1 + data[at]
            blocks += 1
        at += is_extension  # the empty block that ends it
        _limit(blocks, MOST_BLOCKS, "blocks before its first frame")


def _check_bmp(data: bytes) -> None:
    is_coded = len(data) > 34 and data[14] >= 40 and data[30] in (1, 2)
    _limit(len(data) if is_coded else 0, MOST_RUNS, "bytes of runs")


def _limit(found: float, most: int, what: str) -> None:
    if found > most:
        raise TooMuchWork(
            f"more than {most:,} {what}: decoding it would take far longer than usual for its "
            "size. Save it again as a plain JPEG or PNG."
        )
