from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vsearch.data.decoding import in_threads
from vsearch.data.io.object_stores import is_url
from vsearch.data.photos import Box, PhotoError, Preprocessing, read_hashed
from vsearch.models.runtimes.base import Runtime

FETCHING = 32  # threads for photos in object stores, which mostly wait
Source = tuple[str, Box | None]


@dataclass(frozen=True)
class Photo:
    """One photo, uint8 (3, S, S), and its `pixel_hash`; or None and the error."""

    square: np.ndarray | None
    hash: str = ""
    error: str = ""


@dataclass
class Photos:
    """Photos of a catalog's rows, decoded; a broken one has an error and no pixels.

    Attributes:
        rows: int (n,).
        squares: uint8 (m, 3, S, S), the m readable ones, in order.
        hashes: `pixel_hash` (n,); empty for broken photos.
        errors: text (n,); empty for readable photos.
    """

    rows: np.ndarray
    squares: np.ndarray
    hashes: list[str]
    errors: list[str]


def decode(
    rows: Sequence[int],
    sources: Sequence[Source],
    preprocessing: Preprocessing,
    threads: int | None = None,
) -> Photos:
    """Decode photos; broken ones don't stop it. `threads`: for local photos; None: one per core."""
    if any(is_url(path) for path, _ in sources):
        threads = FETCHING
    found = list(in_threads(partial(_read, preprocessing), sources, threads))
    squares = [photo.square for photo in found if photo.square is not None]
    shape = (len(squares), 3, preprocessing.size, preprocessing.size)
    return Photos(
        rows=np.asarray(rows, dtype=np.int64),
        squares=np.array(squares, dtype=np.uint8).reshape(shape),
        hashes=[photo.hash for photo in found],
        errors=[photo.error for photo in found],
    )


def embed(runtime: Runtime, photos: Photos) -> np.ndarray:
    """Return the embeddings, float32 (n, dim), of photos; zeros for broken ones."""
    good = [not error for error in photos.errors]
    vectors = np.zeros((len(good), runtime.dim), dtype=np.float32)
    if any(good):
        vectors[good] = runtime.embed(photos.squares)
    return vectors


def _read(preprocessing: Preprocessing, source: Source) -> Photo:
    try:
        square, digest = read_hashed(source[0], preprocessing, source[1])
        return Photo(square, hash=digest)
    except PhotoError as error:
        return Photo(None, error=str(error))
