import numpy as np
import pyarrow as pa

from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, Preprocessing, read_square


def evenly(n: int, most: int) -> np.ndarray:
    """Return up to `most` of `n` rows, int, ascending and evenly spread."""
    return np.unique(np.linspace(0, max(0, n - 1), min(n, most)).astype(np.int64))


def drawn(n: int, most: int) -> np.ndarray:
    """Return up to `most` of `n` rows, int, ascending, drawn with a fixed seed."""
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def readable(items: pa.Table, preprocessing: Preprocessing) -> tuple[list[np.ndarray], pa.Table]:
    """Return the readable photos of items, uint8 (3, S, S) each, and these items."""
    squares, good = [], []
    paths = items["path"].to_pylist() if "path" in items.column_names else []
    for row, (path, box) in enumerate(zip(paths, boxes(items), strict=False)):
        try:
            squares.append(read_square(path, preprocessing, box))
            good.append(row)
        except PhotoError:
            continue
    return squares, items.take(pa.array(good, pa.int64()))
