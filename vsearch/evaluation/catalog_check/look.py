from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track

from vsearch.data.catalogs.base import boxes
from vsearch.data.decoding import in_threads
from vsearch.data.photos import Box, PhotoError, open_photo, pixel_hash
from vsearch.evaluation.catalog_check.phash import BYTES, phash

SIDE, CELLS = 64, 8
# values of 0..255 around the commonest that count as it: a JPEG's plain areas are never quite so
NEAR_COLOUR = 8
VALUES = np.arange(256)


@dataclass(frozen=True)
class Seen:
    """What one look at each of n photos tells. Rows of photos that can't be read hold zeros.

    Attributes:
        error: why it can't be read; None for a good photo.
        content_hash: equal for pixel-identical photos; None for a broken one.
        size: int (n, 2), width and height in pixels, of the box if there is one.
        spread, plain: float (n,): see `plainness`.
        hashes: uint8 (n, 32): perceptual hash.
        cells: uint8 (n, 8, 8, 3): mean colours of a grid over the photo.
    """

    error: list[str | None]
    content_hash: list[str | None]
    size: np.ndarray
    spread: np.ndarray
    plain: np.ndarray
    hashes: np.ndarray
    cells: np.ndarray

    @property
    def good(self) -> np.ndarray:
        """Return the rows of photos that can be read, int (m,)."""
        return np.array(
            [row for row, error in enumerate(self.error) if error is None], dtype=np.int64
        )


class _Photo(NamedTuple):
    content_hash: str
    size: tuple[int, int]
    spread: float
    plain: float
    bits: np.ndarray
    cells: np.ndarray


def look(items: pd.DataFrame) -> Seen:
    """Decode every photo once, on all cores, with a progress bar; see `Seen`."""
    n = len(items)
    seen = Seen(
        error=[None] * n,
        content_hash=[None] * n,
        size=np.zeros((n, 2), dtype=np.int64),
        spread=np.zeros(n),
        plain=np.zeros(n),
        hashes=np.zeros((n, BYTES), dtype=np.uint8),
        cells=np.zeros((n, CELLS, CELLS, 3), dtype=np.uint8),
    )
    sources = zip(items["path"], boxes(items), strict=True)
    for row, found in enumerate(track(in_threads(_look, sources), "Looking at photos", total=n)):
        if isinstance(found, str):
            seen.error[row] = found
            continue
        seen.content_hash[row] = found.content_hash
        seen.size[row], seen.spread[row], seen.plain[row] = found.size, found.spread, found.plain
        seen.hashes[row], seen.cells[row] = found.bits, found.cells
    return seen


def _look(source: tuple[str, Box | None]) -> _Photo | str:
    try:
        photo = open_photo(*source)
    except PhotoError as error:
        return str(error)
    small = photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return _Photo(
        pixel_hash(photo),
        photo.size,
        *plainness(small),
        phash(np.asarray(small)),
        np.asarray(small.resize((CELLS, CELLS), Image.Resampling.BOX)),
    )


def plainness(photo: Image.Image) -> tuple[float, float]:
    """Return how little there is to see in an RGB photo: its spread and its plain share, each of
    its liveliest channel.

    The spread, 0..127.5, is the standard deviation of a channel; the plain share, 0..1, that of the
    pixels within 8 of the channel's commonest value. Both from the histogram: a fifth of the time
    that the pixels take.
    """
    counts = np.array(photo.histogram()).reshape(3, 256) / (photo.width * photo.height)
    mean = counts @ VALUES
    spread = np.sqrt(np.maximum(counts @ VALUES**2 - mean**2, 0)).max()
    near = np.abs(VALUES - counts.argmax(1)[:, None]) <= NEAR_COLOUR
    return float(spread), float((counts * near).sum(1).min())
