import numpy as np

from vsearch.data.regions import Grid
from vsearch.search.best_hits import merged
from vsearch.search.matched_parts import MatchedParts, matched_parts

REGIONS = (None, *Grid(2).boxes)


def test_the_most_similar_pair_of_parts_is_told():
    vectors = np.zeros((2, 5, 3), dtype=np.float32)
    vectors[0, 3] = [0, 1, 0]
    vectors[1, 0] = [1, 0, 0]
    queries = np.eye(3, dtype=np.float32)[:2]
    parts = matched_parts(queries, vectors, (None, (0, 0, 0.5, 0.5)), REGIONS)
    assert parts == [
        MatchedParts(REGIONS[3], (0, 0, 0.5, 0.5)),
        MatchedParts(None, None),
    ]


def hits(scores: list[float], positions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(scores, dtype=np.float32), np.array(positions)


def test_an_item_that_several_queries_find_counts_by_its_best_score():
    scores, positions = merged([hits([0.9, 0.5], [4, 2]), hits([0.8, 0.6], [2, 4])], 10)
    np.testing.assert_array_equal(positions, [4, 2])
    np.testing.assert_allclose(scores, [0.9, 0.8])


def test_the_best_of_all_queries_are_the_best_of_each():
    rng = np.random.default_rng(0)
    all_scores = rng.random((4, 30)).astype(np.float32)
    each = []
    for own in all_scores:
        order = np.argsort(-own)[:5]
        each.append((own[order], order))
    _, positions = merged(each, 5)
    np.testing.assert_array_equal(positions, np.argsort(-all_scores.max(axis=0))[:5])


def test_of_a_group_the_best_is_kept():
    groups = np.array([0, 0, 1, -1, -1])
    found = [hits([0.9, 0.4], [1, 3]), hits([0.8, 0.7, 0.3], [0, 2, 4])]
    _, positions = merged(found, 4, groups)
    np.testing.assert_array_equal(positions, [1, 2, 3, 4])


def test_nothing_found_is_nothing():
    scores, positions = merged([hits([], []), hits([], [])], 3)
    assert len(scores) == len(positions) == 0
