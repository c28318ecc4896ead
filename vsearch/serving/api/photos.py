import io
import math
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError
from starlette.exceptions import HTTPException
from torch import Tensor

from vsearch.data.photos import Box, PhotoError, Preprocessing, open_photo, to_square

KINDS = "JPEG, PNG, WebP, GIF or BMP"
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")


@dataclass(frozen=True)
class Region:
    """A part of a photo in pixels of the upright photo: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def box(self) -> Box:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.w, self.y + self.h


@dataclass(frozen=True)
class Seen:
    """A photo as the network gets it.

    Attributes:
        square: uint8 (3, size, size).
        box: left, top, right, bottom of what that shows, in shares of the whole photo's width and
            height; outside 0..1 where the photo was padded.
    """

    square: Tensor
    box: tuple[float, float, float, float]


def check_kind(data: bytes) -> None:
    """Refuse with 415 what doesn't start as a photo does, whatever it is called or said to be."""
    if not data:
        raise HTTPException(415, "This is no photo: the file is empty.")
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if not (webp or data.startswith(STARTS)):
        raise HTTPException(415, f"This is no photo: its first bytes are not those of {KINDS}.")


def decode(
    data: bytes, preprocessing: Preprocessing, region: Region | None, max_pixels: int
) -> Seen:
    """Return an uploaded photo, or the part of it in `region`, as the network gets it.

    Raises:
        PhotoError: it is broken, has more than `max_pixels`, or nothing of it is in the region.
    """
    try:
        side = (
            preprocessing.size if region is None else None
        )  # a region is in pixels of the whole photo
        photo = open_photo(data, None, preprocessing.fill, max_pixels, side)
    except PhotoError as error:
        if isinstance(error.__cause__, UnidentifiedImageError):
            raise PhotoError(
                "it begins as a photo does, but is damaged. Find an intact copy."
            ) from error
        raise
    return see(photo, preprocessing, region)


def see(photo: Image.Image, preprocessing: Preprocessing, region: Region | None = None) -> Seen:
    """Return an upright RGB photo, or the part of it in `region`, as the network gets it. Raises as
    `decode` does.
    """
    left, top, right, bottom = (0, 0, *photo.size) if region is None else _within(photo, region)
    part = photo if region is None else photo.crop((left, top, right, bottom))
    side = max(part.size)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    width, height = photo.size
    box = (x / width, y / height, (x + side) / width, (y + side) / height)
    return Seen(to_square(part, preprocessing), box)


def thumbnail(path: str, box: Box | None, size: int, max_pixels: int) -> bytes:
    """Return an item's photo (cut to its box) as a JPEG whose sides are at most `size` pixels.

    Raises:
        PhotoError: it can't be read.
    """
    photo = open_photo(path, box, max_pixels=max_pixels, side=size)
    photo.thumbnail((size, size))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=85)
    return file.getvalue()


def _within(photo: Image.Image, region: Region) -> tuple[int, int, int, int]:
    """Return the region in whole pixels of the photo, as `open_photo` does with a box."""
    left, top = max(0, math.floor(region.x)), max(0, math.floor(region.y))
    right = min(photo.width, math.ceil(region.x + region.w))
    bottom = min(photo.height, math.ceil(region.y + region.h))
    if left < right and top < bottom:
        return left, top, right, bottom
    raise PhotoError(
        f"the region x, y, w, h holds no pixel of the photo ({photo.width} x {photo.height})."
    )
