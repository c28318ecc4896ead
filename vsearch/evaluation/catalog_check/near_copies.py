from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from rich.progress import track

from vsearch.evaluation.catalog_check.neighbours import NONE, Neighbours

QUERIES = 1024  # searched at a time: their hits are held in memory
COMPARED = 1 << 16  # pairs compared at a time


@dataclass(frozen=True)
class Pairs:
    """Pairs of nearly identical photos.

    Attributes:
        one, other: int (p,): numbers of photos, one != other.
        difference: float (p,): largest difference of their colours, 0..255.
    """

    one: np.ndarray
    other: np.ndarray
    difference: np.ndarray

    @classmethod
    def joined(cls, lists: Sequence["Pairs"]) -> "Pairs":
        """Return all pairs, one list after the other."""
        none = cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))
        every = [none, *lists]
        return cls(
            np.concatenate([pairs.one for pairs in every]),
            np.concatenate([pairs.other for pairs in every]),
            np.concatenate([pairs.difference for pairs in every]),
        )


def alike_by_hash(hashes: np.ndarray, cells: np.ndarray, bits: int, difference: float) -> Pairs:
    """Return the pairs of photos whose perceptual hashes and colours differ little.

    FAISS compares every hash with every other, so the time grows with the square of n.

    Args:
        hashes: uint8 (n, bytes).
        cells: uint8 (n, c, c, 3).
        bits: most bits in which the hashes may differ.
        difference: largest allowed difference of cells, 0..255.
    """
    index = faiss.IndexBinaryFlat(8 * hashes.shape[1])
    index.add(np.ascontiguousarray(hashes))
    starts = range(0, len(hashes), QUERIES)
    found = []
    for start in track(starts, "Comparing photos", disable=len(starts) < 2):
        # FAISS finds hashes that differ in fewer bits than its argument.
        ends, _, other = index.range_search(hashes[start : start + QUERIES], bits + 1)
        counts = np.diff(ends.astype(np.int64))
        one = start + np.repeat(np.arange(len(counts)), counts)
        found.append(confirmed(one, other, cells, difference))
    return Pairs.joined(found)


def alike_by_score(found: Neighbours, cells: np.ndarray, score: float, difference: float) -> Pairs:
    """Return the pairs of neighbours with at least this score whose colours differ little."""
    one, place = np.nonzero((found.scores >= score) & (found.positions != NONE))
    other = found.positions[one, place]
    sorted_pairs = np.stack([np.minimum(one, other), np.maximum(one, other)], 1)
    pairs = np.unique(sorted_pairs, axis=0)  # found from both sides
    return confirmed(pairs[:, 0], pairs[:, 1], cells, difference)


def confirmed(one: np.ndarray, other: np.ndarray, cells: np.ndarray, difference: float) -> Pairs:
    """Return the pairs, each once, in which no channel of a cell differs more than `difference`."""
    once = one < other
    one = one[once].astype(np.int64)
    other = other[once].astype(np.int64)
    worst = np.empty(len(one))
    for start in range(0, len(one), COMPARED):
        piece = slice(start, start + COMPARED)
        worst[piece] = worst_difference(cells[one[piece]], cells[other[piece]])
    kept = worst <= difference
    return Pairs(one[kept], other[kept], worst[kept])


def worst_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the largest difference of any cell and channel, (p,) 0..255; uint8 (p, c, c, 3) each.

    Not the mean: a lipstick of another shade, on white, differs only in a few cells.
    """
    return np.abs(one.astype(np.int16) - other).reshape(len(one), -1).max(1, initial=0)
