import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from starlette.exceptions import HTTPException

from vsearch.data.photos import (
    Box,
    PhotoError,
    Preprocessing,
    Reserve,
    open_photo,
    region_square,
    side_for,
    small_jpeg,
    to_square,
    unlimited,
)
from vsearch.data.regions import Region as Shares
from vsearch.serving.messages import Region

KINDS = "JPEG, PNG, WebP, GIF or BMP"
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")


@dataclass(frozen=True)
class SeenPhoto:
    """A photo as the network gets it.

    Attributes:
        square: uint8 (3, size, size).
        box: the part it shows, as shares of the whole photo's sides; padding is outside 0..1.
    """

    square: np.ndarray
    box: Box


def check_kind(data: bytes) -> None:
    """Refuse with 415 files that don't start like a photo, regardless of name and content type."""
    if not data:
        raise HTTPException(415, "This isn't a photo: the file is empty.")
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if not (webp or data.startswith(STARTS)):
        raise HTTPException(415, f"This isn't a photo: its first bytes are not those of {KINDS}.")


def decode(
    data: bytes,
    preprocessing: Preprocessing,
    region: Region | None,
    max_pixels: int,
    reserve: Reserve = unlimited,
) -> SeenPhoto:
    """Return an uploaded photo, or the part of it in `region`, as the network gets it.

    `reserve`: of `open_photo`.

    Raises:
        PhotoError: it is broken, has more than `max_pixels`, or the region is outside it.
    """
    # a region is in pixels of the whole photo, so it must be decoded at full size
    side = preprocessing.size if region is None else None
    photo = _open(data, preprocessing, max_pixels, side, reserve)
    return see(photo, preprocessing, region)


def decode_parts(
    data: bytes,
    preprocessing: Preprocessing,
    region: Region | None,
    parts: Sequence[Shares | None],
    max_pixels: int,
    reserve: Reserve = unlimited,
) -> list[np.ndarray]:
    """Return parts of an uploaded photo, or of a `region` of it, each uint8 (3, size, size).

    The photo is decoded once, otherwise as for `decode`.
    """
    side = None
    if region is None:
        side = max(side_for(part, preprocessing) for part in parts)
    photo = _open(data, preprocessing, max_pixels, side, reserve)
    if region is not None:
        photo = photo.crop(_touched(region, photo).box)
    return [region_square(photo, part, preprocessing) for part in parts]


def see(
    photo: Image.Image, preprocessing: Preprocessing, region: Region | None = None
) -> SeenPhoto:
    """Return an upright RGB photo, or the part of it in `region`, as the network gets it."""
    shown = Region(0, 0, *photo.size)
    part = photo
    if region is not None:
        shown = _touched(region, photo)
        part = photo.crop(shown.box)

    side = max(shown.w, shown.h)
    left = shown.x - (side - shown.w) / 2
    top = shown.y - (side - shown.h) / 2
    width, height = photo.size
    box = (left / width, top / height, (left + side) / width, (top + side) / height)
    return SeenPhoto(to_square(part, preprocessing), box)


def thumbnail(
    source: BinaryIO,
    box: Box | None,
    size: int,
    max_pixels: int,
    reserve: Reserve = unlimited,
) -> bytes:
    """Return an item's photo (cut to its box) as a JPEG whose sides are at most `size` pixels."""
    photo = open_photo(source, box, max_pixels=max_pixels, side=size, reserve=reserve)
    return small_jpeg(photo, size, quality=85)


def _open(
    data: bytes, preprocessing: Preprocessing, max_pixels: int, side: int | None, reserve: Reserve
) -> Image.Image:
    try:
        return open_photo(data, None, preprocessing.fill, max_pixels, side, reserve=reserve)
    except PhotoError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            damaged = "it begins like a photo, but is damaged. Find an intact copy."
            raise PhotoError(damaged) from error
        raise


def _touched(region: Region, photo: Image.Image) -> Region:
    """Return the region widened to whole pixels, like a catalog's box."""
    left = max(0, math.floor(region.x))
    top = max(0, math.floor(region.y))
    right = min(photo.width, math.ceil(region.x + region.w))
    bottom = min(photo.height, math.ceil(region.y + region.h))
    if left < right and top < bottom:
        return Region(left, top, right - left, bottom - top)
    size = f"{photo.width} x {photo.height}"
    raise PhotoError(f"the region x, y, w, h holds no pixel of the photo ({size}).")
