import numpy as np
import pytest
from indexes.hits import assert_same_hits, best_of_all


def hits(scores: list[float], positions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([scores], np.float32), np.array([positions])


def test_ties_may_change_places_and_the_last_may_be_another():
    mine = hits([0.9, 0.5, 0.5, 0.1], [4, 2, 3, 7])
    assert_same_hits(mine, hits([0.9, 0.5000001, 0.5, 0.1], [4, 3, 2, 8]))


@pytest.mark.parametrize(
    "other",
    [
        hits([0.9, 0.5, 0.4, 0.1], [4, 2, 3, 7]),
        hits([0.9, 0.5, 0.5, 0.1], [2, 4, 3, 7]),
        hits([0.9, 0.5, 0.5, 0.1], [4, 2, 8, 7]),
    ],
    ids=["another score", "changed places", "another item"],
)
def test_anything_else_is_told(other):
    with pytest.raises(AssertionError):
        assert_same_hits(hits([0.9, 0.5, 0.5, 0.1], [4, 2, 3, 7]), other)


def test_the_oracle_by_hand():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]])
    scores, positions = best_of_all(vectors[:1], vectors, 2, np.array([False, True, True]))
    assert positions.tolist() == [[2, 1]]
    assert scores == pytest.approx(np.array([[0.6, 0]]))
