import itertools
import sys

import faiss
import numpy as np
import pytest
from indexes.test_faiss import built, unit

from vsearch.evaluation import index_quality
from vsearch.evaluation.index_quality import (
    index_recalls,
    latency,
    limited,
    quality,
    resident_bytes,
)
from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.faiss import FaissIndex


class Shifted:
    """An index that finds the exact hits, but loses the first `lost` of them."""

    def __init__(self, vectors: np.ndarray, lost: int) -> None:
        self.flat, self.lost = built(vectors), lost

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, positions = self.flat.search(queries, k + self.lost)
        return scores[:, self.lost :], positions[:, self.lost :]


@pytest.mark.parametrize(("lost", "recall"), [(0, 1.0), (3, 0.7), (10, 0.0)])
@pytest.mark.parametrize("chunk", [64_000_000, 600])
def test_index_recall_is_the_share_of_the_exact_hits(lost, recall, chunk, monkeypatch):
    monkeypatch.setattr(index_quality, "CHUNK", chunk)  # two queries at a time
    gallery, queries = unit(500), unit(30, seed=1)
    assert index_recalls(Shifted(gallery, lost), queries, gallery)[10] == pytest.approx(recall)


def test_each_depth_is_searched_by_itself():
    gallery, queries = unit(500), unit(30, seed=1)
    found = index_recalls(Shifted(gallery, 3), queries, gallery)
    assert found == {1: 0, 10: pytest.approx(0.7), 100: pytest.approx(0.97)}


def test_ties_do_not_count_against_the_index():
    gallery = np.repeat(unit(1), 50, axis=0)
    assert index_recalls(built(gallery), unit(5, seed=1), gallery, (1, 10)) == {1: 1, 10: 1}


def test_places_that_the_index_leaves_empty_are_misses():
    class Empty(Shifted):
        def search(self, queries, k):
            scores, positions = super().search(queries, k)
            return scores, np.where(np.arange(k) < 5, positions, -1)

    assert index_recalls(Empty(unit(100), 0), unit(8, seed=1), unit(100))[10] == pytest.approx(0.5)


class Timed:
    """A clock, and an index whose searches take a millisecond a query by it; the first of each kind
    a hundred.
    """

    def __init__(self) -> None:
        self.now, self.seen = 0.0, set()

    def clock(self) -> float:
        return self.now

    def search(self, queries: np.ndarray, k: int) -> None:
        kind = (len(queries), faiss.omp_get_max_threads())
        self.now += len(queries) * (1.001e-3 if kind in self.seen else 0.1)
        self.seen.add(kind)


@pytest.fixture
def threads(monkeypatch) -> int:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    yield 3
    faiss.omp_set_num_threads(before)


def test_times_are_those_of_the_clock_without_the_first_call(threads):
    index = Timed()
    found = latency(index, unit(20), clock=index.clock)
    rows = {(row["batch"], row["threads"]): row for row in found["table"]}
    assert list(rows) == [(batch, number) for number in (1, 2, 3) for batch in (1, 32, 256)]
    assert rows[1, 2] == {
        "batch": 1,
        "threads": 2,
        "calls": 200,
        "p50_ms": pytest.approx(1.001),
        "p99_ms": pytest.approx(1.001),
    }
    assert rows[256, 1]["calls"] == 1  # the first took 25 seconds
    assert rows[256, 1]["p50_ms"] == pytest.approx(25_600)
    assert (found["single_p50_ms"], found["threads"], found["batch_size"]) == (
        pytest.approx(1.001),
        3,
        32,
    )


def test_a_slow_index_is_asked_less_often(threads):
    index = Timed()
    index.seen = set(itertools.product((1, 32, 256), (1, 2, 3)))
    found = {
        (row["batch"], row["threads"]): row
        for row in latency(index, unit(20), clock=index.clock)["table"]
    }
    assert [found[batch, 1]["calls"] for batch in (1, 32, 256)] == [
        200,
        18,
        2,
    ]  # 0.6 s of each, the first not counted


def test_a_first_call_that_is_only_slow_is_not_the_one_that_counts():
    index, times = Timed(), itertools.chain([1.5], itertools.repeat(0.7))

    def search(queries, k):
        index.now += next(times)

    index.search = search
    row = latency(index, unit(20), clock=index.clock)["table"][0]
    assert (row["calls"], row["p50_ms"]) == (1, pytest.approx(700))


def test_no_number_of_threads_comes_twice():
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(1)
        assert {row["threads"] for row in latency(built(unit(50)), unit(5))["table"]} == {1}
    finally:
        faiss.omp_set_num_threads(before)


def test_threads_are_put_back(threads):
    with limited(1):
        assert faiss.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == 3


def test_quality_has_what_reports_need():
    found = quality(built(unit(200), "SQ8"), unit(20, seed=1), unit(200), 1.5)
    assert (found["spec"], found["exact"], found["vectors"], found["build_s"]) == (
        "SQ8",
        False,
        200,
        1.5,
    )
    assert found["memory_bytes"] == found["bytes"] > 200 * 64
    assert all(0.9 <= found[f"recall_at_{k}"] <= 1 for k in (1, 10, 100))
    assert 0 < found["latency"]["single_p50_ms"] <= found["latency"]["single_p99_ms"]
    assert "frontier" not in found


def test_quality_of_a_choice_says_why():
    index = AutoIndex()
    index.build(unit(60))
    found = quality(index, unit(20, seed=1), unit(60), 1.5)
    assert found["why"]
    assert found["frontier"]
    assert found["spec"].startswith("auto: ")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_bytes_are_about_those_of_the_vectors(monkeypatch):
    index = built(unit(20_000, 512))
    assert resident_bytes(index) == pytest.approx(20_000 * 512 * 4, rel=0.1)
    monkeypatch.setattr(index_quality, "SMALL", 0)
    assert quality(index, unit(5, 512), unit(20_000, 512), 1.0)["memory_bytes"] == pytest.approx(
        41e6, rel=0.1
    )


def test_a_class_that_a_new_process_cant_import_has_no_resident_bytes():
    class Local(FaissIndex):
        pass

    index = Local()
    index.build(unit(10))
    assert resident_bytes(index) is None
