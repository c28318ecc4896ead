import faiss
import numpy as np
from rich.progress import track

from vsearch.evaluation.catalog_check.groups import Pairs

QUERIES = 1024  # searched at a time: what they find is held in memory
COMPARED = 1 << 16  # pairs compared at a time


def alike_by_hash(hashes: np.ndarray, cells: np.ndarray, bits: int, difference: float) -> Pairs:
    """Return the pairs of photos whose hashes differ in at most `bits` and whose cells by at most
    `difference`.

    Every hash is compared with every other (FAISS's binary range search): the time grows with the
    square of n.

    Args:
        hashes: uint8 (n, bytes).
        cells: uint8 (n, c, c, 3).
        bits: 0 or more.
        difference: 0..255.
    """
    index = faiss.IndexBinaryFlat(8 * hashes.shape[1])
    index.add(np.ascontiguousarray(hashes))
    starts = range(0, len(hashes), QUERIES)
    found = []
    for start in track(starts, "Comparing photos", disable=len(starts) < 2):
        limits, _, other = index.range_search(
            hashes[start : start + QUERIES], bits + 1
        )  # FAISS takes less than it
        one = start + np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64)))
        found.append(confirmed(one, other, cells, difference))
    return Pairs.joined(found)


def confirmed(one: np.ndarray, other: np.ndarray, cells: np.ndarray, difference: float) -> Pairs:
    """Return those pairs, each once, of which no cell's colour differs by more than `difference` in
    any channel.
    """
    once = one < other
    one, other = one[once].astype(np.int64), other[once].astype(np.int64)
    pieces = [slice(start, start + COMPARED) for start in range(0, len(one), COMPARED)]
    worst = np.concatenate(
        [np.empty(0), *(worst_difference(cells[one[p]], cells[other[p]]) for p in pieces)]
    )
    kept = worst <= difference
    return Pairs(one[kept], other[kept], worst[kept])


def worst_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the largest difference of any cell and channel, (p,) 0..255, of uint8 (p, c, c, 3)
    each.

    Not the mean: products on white are mostly white, and a lipstick of another shade differs in a
    few cells alone.
    """
    return np.abs(one.astype(np.int16) - other).reshape(len(one), -1).max(1, initial=0)
