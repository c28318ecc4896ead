import numpy as np
import pytest
from indexes.test_faiss import built, unit

from vsearch.latency import index_recall, latency


class Shifted:
    """An index that finds the exact hits, but loses the first `lost` of them."""

    def __init__(self, vectors: np.ndarray, lost: int) -> None:
        self.flat, self.lost = built(vectors), lost

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, positions = self.flat.search(queries, k + self.lost)
        return scores[:, self.lost :], positions[:, self.lost :]


@pytest.mark.parametrize(("lost", "recall"), [(0, 1.0), (3, 0.7), (10, 0.0)])
def test_index_recall_is_the_share_of_the_exact_hits(lost, recall):
    gallery, queries = unit(500), unit(30, seed=1)
    assert index_recall(Shifted(gallery, lost), queries, gallery) == pytest.approx(recall)


def test_ties_do_not_count_against_the_index():
    gallery = np.repeat(unit(1), 50, axis=0)
    assert index_recall(built(gallery), unit(5, seed=1), gallery) == 1


def test_places_that_the_index_leaves_empty_are_misses():
    class Empty(Shifted):
        def search(self, queries, k):
            scores, positions = super().search(queries, k)
            return scores, np.where(np.arange(k) < 5, positions, -1)

    assert index_recall(Empty(unit(100), 0), unit(8, seed=1), unit(100)) == pytest.approx(0.5)


def test_latency_is_in_milliseconds_and_ordered():
    found = latency(built(unit(200)), unit(20), repeats=30)
    assert 0 < found["single_p50_ms"] <= found["single_p99_ms"] < 1000
    assert 0 < found["batch_p50_ms"] <= found["batch_p99_ms"]
    assert found["batch_size"] == 64
