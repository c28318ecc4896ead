from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vsearch.data.decoding import in_threads
from vsearch.data.io.object_stores import is_url
from vsearch.data.photos import Box, PhotoError, Preprocessing, read_hashed
from vsearch.models.runtimes.base import Runtime

FETCHING = 32  # threads where photos come from object stores, which are waited for
Source = tuple[str, Box | None]


@dataclass
class Photos:
    """Photos of a catalog's rows, decoded; a broken one has an error and no pixels.

    Attributes:
        rows: int (n,).
        squares: uint8 (m, 3, S, S), of the m that could be read, in order.
        hashes: `images.pixel_hash` of each of the n; empty where it is broken.
        errors: of each of the n; empty where it could be read.
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
    """Decode photos; no photo stops it, whatever is wrong with it. `threads`: for local ones; None:
    one a core.
    """
    remote = any(is_url(path) for path, _ in sources)
    found = [*in_threads(partial(_look, preprocessing), sources, FETCHING if remote else threads)]
    squares = [square for square, _, error in found if not error]
    size = preprocessing.size
    return Photos(
        np.asarray(rows, dtype=np.int64),
        np.stack(squares) if squares else np.empty((0, 3, size, size), dtype=np.uint8),
        [digest for _, digest, _ in found],
        [error for _, _, error in found],
    )


def embed(runtime: Runtime, photos: Photos) -> np.ndarray:
    """Return the embeddings, float32 (n, dim), of photos; zeros for broken ones; (0, 0) if all are
    broken.
    """
    good = np.array([not error for error in photos.errors], dtype=bool)
    if not good.any():
        return np.empty((0, 0), dtype=np.float32)
    made = runtime.embed(photos.squares)
    vectors = np.zeros((len(good), made.shape[1]), dtype=np.float32)
    vectors[good] = made
    return vectors


def _look(preprocessing: Preprocessing, source: Source) -> tuple[np.ndarray, str, str]:
    try:
        square, digest = read_hashed(source[0], preprocessing, source[1])
        return square, digest, ""
    except PhotoError as error:
        return np.empty(0), "", str(error)
