import numpy as np
import pytest

from vsearch.indexes import exhaustive
from vsearch.indexes.exhaustive import search_among, search_in_pieces


@pytest.mark.parametrize("piece", [1, 3, 16, 40, 100])
@pytest.mark.parametrize("k", [0, 1, 5, 40, 99])
def test_pieces_give_what_one_comparison_gives_ties_included(piece, k, monkeypatch):
    monkeypatch.setattr(exhaustive, "PIECE", piece)
    gallery = (
        np.random.default_rng(0).integers(-1, 2, (80, 3)).astype(np.float32) / 4
    )  # few scores: many ties
    queries, positions = gallery[:7], np.arange(0, 80, 2)
    scores, found = search_in_pieces(gallery.__getitem__, positions, queries, k)
    expected_scores, expected = search_among(gallery[positions], positions, queries, k)
    # sixteenths add up without rounding, in any order
    assert np.array_equal(scores, expected_scores)
    assert np.array_equal(found, expected)


def test_no_positions():
    nothing = np.zeros(0, dtype=np.int64)
    scores, found = search_in_pieces(
        np.zeros((4, 2), np.float32).__getitem__, nothing, np.ones((2, 2), np.float32), 3
    )
    assert scores.shape == found.shape == (2, 0)
