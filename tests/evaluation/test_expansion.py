import numpy as np
import pytest

from vsearch.evaluation.expansion import expand_queries, score_expansion
from vsearch.evaluation.scoring import Embedded, exact_index, score
from vsearch.indexes.faiss import FaissIndex


def made(n: int, seed: int, first_key: int = 0) -> Embedded:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 8))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, rng.integers(3, size=n), np.arange(first_key, first_key + n))


@pytest.mark.parametrize("itself", [False, True])
def test_against_a_loop_that_leaves_out_the_query_itself(itself):
    gallery = made(40, seed=0)
    queries = gallery if itself else made(9, seed=1, first_key=100)
    moved = expand_queries(exact_index(gallery), queries, gallery, n_hits=3)
    for i, query in enumerate(queries.embeddings):
        cosines = gallery.embeddings @ query
        others = [j for j in np.argsort(-cosines) if gallery.keys[j] != queries.keys[i]]
        total = query.astype(float)
        for j in others[:3]:
            total = total + max(cosines[j], 0) ** 6 * gallery.embeddings[j]
        assert moved.embeddings[i] == pytest.approx(total / np.linalg.norm(total), abs=1e-5)
    assert (moved.labels == queries.labels).all()


def test_a_query_between_two_labels_moves_to_the_crowd():
    angles = np.radians([0, 20, 22, 24])  # label 0 alone, label 1 three times
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    gallery = Embedded(vectors, np.array([0, 1, 1, 1]), np.arange(4))
    at = np.radians([9])  # nearer to label 0
    asked = np.stack([np.cos(at), np.sin(at)], axis=1).astype(np.float32)
    queries = Embedded(asked, np.array([1]), np.array([9]))
    index = exact_index(gallery)
    once = score(index, queries, gallery)
    found = score_expansion(index, queries, gallery, once)
    assert found.once.model["precision_at_1"] == [0.0]
    assert found.expanded.model["precision_at_1"] == [1.0]
    assert found.hits == 10
    assert found.once_ms > 0
    assert found.expanded_ms > 0


def test_an_index_that_keeps_no_vectors_is_not_scored():
    class Forgetful(FaissIndex):
        def vectors(self, positions):
            raise ValueError("none are kept")

    gallery = made(20, seed=0)
    index = Forgetful()
    index.build(gallery.embeddings)
    once = score(index, gallery, gallery)
    assert score_expansion(index, gallery, gallery, once) is None
