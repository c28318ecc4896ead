from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image
from rich.progress import track

from vsearch.data.decoding import in_threads
from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, open_photo, pixel_hash
from vsearch.evaluation.catalog_check.phash import BYTES, phash

SIDE = 64
CELLS = 8
NEAR_COLOUR = 8  # of 0..255: plain areas of a JPEG vary by this much
VALUES = np.arange(256)


@dataclass(frozen=True)
class PhotoFacts:
    """Facts from reading each of n photos once. Rows of unreadable photos hold zeros.

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
    def readable(self) -> np.ndarray:
        """The rows of photos that can be read, int (m,)."""
        return np.flatnonzero([error is None for error in self.error])


def read_photo_facts(items: pd.DataFrame) -> PhotoFacts:
    """Decode every photo once, on all cores, with a progress bar."""
    n = len(items)
    facts = PhotoFacts(
        error=[None] * n,
        content_hash=[None] * n,
        size=np.zeros((n, 2), dtype=np.int64),
        spread=np.zeros(n),
        plain=np.zeros(n),
        hashes=np.zeros((n, BYTES), dtype=np.uint8),
        cells=np.zeros((n, CELLS, CELLS, 3), dtype=np.uint8),
    )
    paths = items["path"].tolist()
    crops = boxes(items)

    def look(row: int) -> None:
        try:
            photo = open_photo(paths[row], crops[row])
        except PhotoError as error:
            facts.error[row] = str(error)
            return
        small = photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        facts.content_hash[row] = pixel_hash(photo)
        facts.size[row] = photo.size
        facts.spread[row], facts.plain[row] = plainness(small)
        facts.hashes[row] = phash(np.asarray(small))
        facts.cells[row] = np.asarray(small.resize((CELLS, CELLS), Image.Resampling.BOX))

    for _ in track(in_threads(look, range(n)), "Looking at photos", total=n):
        pass
    return facts


def plainness(photo: Image.Image) -> tuple[float, float]:
    """Return an RGB photo's spread and plain share, each of its most varied channel.

    The spread, 0..127.5, is the standard deviation of a channel; the plain share, 0..1, is the
    share of pixels within 8 of the channel's most common value.
    """
    counts = np.array(photo.histogram()).reshape(3, 256) / (photo.width * photo.height)
    mean = counts @ VALUES
    spread = np.sqrt(np.maximum(counts @ VALUES**2 - mean**2, 0)).max()
    near = np.abs(VALUES - counts.argmax(1)[:, None]) <= NEAR_COLOUR
    return float(spread), float((counts * near).sum(1).min())
