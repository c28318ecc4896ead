import numpy as np
import pytest

from vsearch.evaluation.catalog_check import near_copies
from vsearch.evaluation.catalog_check.near_copies import (
    alike_by_hash,
    alike_by_score,
    confirmed,
    worst_difference,
)
from vsearch.evaluation.catalog_check.neighbours import Neighbours


def photos(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and cells, a third of them near copies of others, by hash, by cells or by both."""
    rng = np.random.default_rng(0)
    hashes, cells = (
        rng.integers(0, 256, (n, 32), dtype=np.uint8),
        rng.integers(0, 256, (n, 2, 2, 3), dtype=np.uint8),
    )
    for row in range(1, n, 3):
        bits = np.unpackbits(hashes[row - 1])
        bits[rng.integers(0, 256, row % 9)] ^= 1
        hashes[row] = np.packbits(bits)
        cells[row] = cells[row - 1].clip(10, 245) + rng.integers(-(row % 11), row % 11 + 1)
    return hashes, cells


def naive(
    hashes: np.ndarray, cells: np.ndarray, bits: int, difference: float
) -> dict[tuple[int, int], int]:
    found = {}
    for one in range(len(hashes)):
        for other in range(one + 1, len(hashes)):
            far = bin(
                int.from_bytes(hashes[one].tobytes()) ^ int.from_bytes(hashes[other].tobytes())
            ).count("1")
            worst = max(
                abs(int(a) - int(b))
                for a, b in zip(cells[one].flat, cells[other].flat, strict=True)
            )
            if far <= bits and worst <= difference:
                found[one, other] = worst
    return found


@pytest.mark.parametrize(("bits", "difference"), [(0, 0), (4, 5), (8, 10), (3, 255), (256, 4)])
def test_pairs_are_those_of_two_loops(monkeypatch, bits, difference):
    monkeypatch.setattr(near_copies, "QUERIES", 7)
    monkeypatch.setattr(near_copies, "COMPARED", 5)
    hashes, cells = photos(60)
    found = alike_by_hash(hashes, cells, bits, difference)
    pairs = zip(found.one.tolist(), found.other.tolist(), found.difference.tolist(), strict=True)
    wanted = naive(hashes, cells, bits, difference)
    assert {(one, other): worst for one, other, worst in pairs} == wanted
    assert len(found.one) == len(wanted)  # none twice
    assert wanted or bits == 0


def test_the_worst_cell_and_channel_counts():
    one = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    other = one.copy()
    other[0, 1, 0, 2], other[1, 0, 0] = 200, (3, 2, 1)
    assert worst_difference(one, other).tolist() == [200, 3]
    assert worst_difference(other, one).tolist() == [200, 3]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_to_be_alike(n):
    hashes, cells = np.zeros((n, 32), dtype=np.uint8), np.zeros((n, 8, 8, 3), dtype=np.uint8)
    assert len(alike_by_hash(hashes, cells, 16, 8).one) == 0
    none = np.empty(0, dtype=np.int64)
    assert len(confirmed(none, none, cells, 8).one) == 0


def test_pairs_of_a_high_score_are_confirmed_by_their_colours():
    found = Neighbours(
        np.array([[1, 2], [0, 2], [0, 1], [0, 1]]),
        np.array([[0.99, 0.98], [0.99, 0.5], [0.98, 0.5], [0.1, 0]]),
    )
    cells = np.array([10, 20, 60, 10], dtype=np.uint8).reshape(4, 1, 1, 1)
    one = alike_by_score(found, cells, 0.98, 16)
    assert (one.one.tolist(), one.other.tolist(), one.difference.tolist()) == ([0], [1], [10])
    both = alike_by_score(found, cells, 0.98, 50)
    assert (both.one.tolist(), both.other.tolist()) == ([0, 0], [1, 2])
    assert len(alike_by_score(found, cells, 1.5, 255).one) == 0
