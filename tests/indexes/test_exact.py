from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from indexes.hits import assert_same_hits
from indexes.index_makers import CodedIndex
from indexes.test_faiss import unit
from indexes.test_prefix_bound import low_rank, near_copies
from threadpoolctl import threadpool_info

from vsearch.indexes import exact
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex


def clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((7, dim))
    vectors = centres[rng.integers(7, size=n)] + 0.3 * rng.standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def copies(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return clustered(max(1, n // 5), dim, seed)[
        np.random.default_rng(seed).integers(max(1, n // 5), size=n)
    ]


def constant(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.full((n, dim), dim**-0.5, dtype=np.float32)


def built(vectors: np.ndarray, components: int | None = 4, **settings) -> ExactIndex:
    index = CodedIndex(components, **settings) if components else ExactIndex(**settings)
    index.build(vectors)
    return index


def same_hits(
    index: ExactIndex, vectors: np.ndarray, queries: np.ndarray, k: int, allowed=None
) -> None:
    """The hits are the best there are, in float64, but for what rounding can't tell apart; scores
    are cosines.
    """
    kept = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    scores, positions = index.search(queries, k, allowed)
    k = min(k, len(kept))
    assert positions.shape == scores.shape == (len(queries), k)
    wide, asked = vectors.astype(float), queries.astype(float)
    every = 1 + asked @ wide.T - ((asked**2).sum(axis=1)[:, None] + (wide**2).sum(axis=1)) / 2
    best = -np.sort(-every[:, kept], axis=1)[:, :k]
    assert np.isin(positions, kept).all()
    assert all(len(set(row)) == k for row in positions.tolist())
    assert np.abs(np.take_along_axis(every, positions, axis=1) - best).max(initial=0) < 2e-6
    assert np.abs(scores - np.clip(best, -1, 1)).max(initial=0) < 2e-6


@pytest.mark.parametrize("make", [unit, clustered, low_rank, near_copies, copies, constant])
@pytest.mark.parametrize("n", [1, 2, 40, 500])
@pytest.mark.parametrize("dim", [2, 16, 256])
def test_hits_are_those_of_plain_flat(make, n, dim):
    vectors, queries = make(n, dim), make(5, dim, seed=1)
    for components in {1, min(4, dim), min(dim, 64)}:
        index = built(vectors, components)
        for k in {1, max(1, min(10, n - 1)), n + 5}:
            same_hits(index, vectors, np.concatenate([queries, vectors[:2]]), k)


def around(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """A point, and vectors around it at one distance, within float32's rounding."""
    rng = np.random.default_rng(seed)
    middle, offsets = np.eye(dim)[0], rng.standard_normal((n - 1, dim))
    offsets[:, 0] = 0
    offsets /= np.linalg.norm(offsets, axis=1, keepdims=True)
    return np.concatenate([middle[None], 0.8 * middle + 0.6 * offsets]).astype(np.float32)


@pytest.mark.parametrize("make", [unit, clustered, low_rank, near_copies, copies, constant, around])
@pytest.mark.parametrize(
    ("n", "dim", "components"), [(500, 64, 4), (500, 301, 32), (300, 2048, 16)]
)
@pytest.mark.parametrize("seed", range(2))
def test_single_queries_are_answered_as_by_index_flat_l2_to_the_last_bit(
    make, n, dim, components, seed
):
    vectors, queries = make(n, dim, seed), make(4, dim, seed + 10)
    plain, index = faiss.IndexFlatL2(dim), built(vectors, components)
    plain.add(vectors)
    for query in (*queries, vectors[0], -vectors[1]):
        for k in (1, 10, 77):
            distances, _ = plain.search(query[None], k)
            scores, positions = index.search(query[None], k)
            assert np.array_equal(scores, np.clip(1 - distances / 2, -1, 1))
            every = np.empty(n, dtype=np.float32)
            found = plain.search(query[None], n)
            every[found[1][0]] = found[0][0]
            assert positions[0].tolist() == np.argsort(every, kind="stable")[:k].tolist()


def test_ids_are_those_of_index_flat_l2():
    vectors, queries = clustered(3000, 128), clustered(40, 128, seed=1)
    plain, index = faiss.IndexFlatL2(128), built(vectors, 32)
    plain.add(vectors)
    index._flat_from = float("inf")
    for asked in (queries, queries[:1]):
        distances, positions = plain.search(asked, 10)
        assert_same_hits(index.search(asked, 10), (1 - distances / 2, positions))


def test_by_hand():
    index = built(np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32), 1)
    scores, positions = index.search(np.array([[1, 0]], np.float32), 4)
    assert positions.tolist() == [[0, 3, 1, 2]]
    assert scores[0] == pytest.approx([1, 0.6, 0, -1], abs=1e-6)


def test_only_what_the_bound_leaves_is_compared(monkeypatch):
    *_, query = every = low_rank(2001, 64)
    vectors, seen = every[:2000], []
    index = built(vectors, 4)
    compare = index._distances_l2sq

    def counted(queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
        seen.append(positions.size)
        return compare(queries, positions)

    monkeypatch.setattr(index, "_distances_l2sq", counted)
    same_hits(index, vectors, query[None], 10)
    assert 10 <= sum(seen) < 1000


def test_of_equal_scores_the_first_position_wins():
    vectors = np.repeat(unit(10, 16), 5, axis=0)
    _, positions = built(vectors).search(vectors[::5], 5)
    assert positions.tolist() == [list(range(start, start + 5)) for start in range(0, 50, 5)]


@pytest.mark.parametrize("share", [0.0, 0.004, 0.1, 0.9])
def test_filters(share):
    vectors, queries = clustered(500, 32), clustered(10, 32, seed=1)
    allowed = np.random.default_rng(0).random(500) < share
    allowed[3] |= share > 0
    for k in (1, 10, 600):
        same_hits(built(vectors), vectors, queries, k, allowed)


def test_after_add_and_remove_rows_are_those_of_the_table():
    vectors, more, queries = clustered(300, 32), unit(50, 32, seed=2), clustered(10, 32, seed=1)
    index = built(vectors)
    index.add(more)
    index.remove(np.array([0, 7, 7, 349]))
    kept = np.delete(np.concatenate([vectors, more]), [0, 7, 349], axis=0)
    assert len(index) == len(kept)
    same_hits(index, kept, queries, 10)
    assert np.array_equal(index.vectors(np.arange(len(kept))), kept)


def test_in_pieces(monkeypatch):
    vectors, queries = clustered(300, 32), clustered(10, 32, seed=1)
    monkeypatch.setattr(exact, "TOGETHER", 3)
    same_hits(built(vectors), vectors, queries, 10)


@pytest.mark.parametrize("components", [4, None])
def test_it_opens_again_and_plain_faiss_reads_it(components, tmp_path):
    vectors, queries = clustered(2500, 64), clustered(10, 64, seed=1)
    index = built(vectors, components)
    assert index.save(tmp_path) == ["index.faiss", "index.json", "codes.npz"]
    plain = faiss.read_index(str(tmp_path / "index.faiss"))
    distances, positions = plain.search(queries, 5)
    assert_same_hits(index.search(queries, 5), (1 - distances / 2, positions))
    again = ExactIndex.open(tmp_path)
    assert again.describe() == index.describe()
    assert np.array_equal(again.search(queries, 5)[1], index.search(queries, 5)[1])
    (tmp_path / "codes.npz").unlink()
    same_hits(ExactIndex.open(tmp_path), vectors, queries, 5)


@pytest.mark.parametrize(("n", "dim"), [(200, 32), (300, 16)])
def test_a_prefix_of_another_index_is_refused(n, dim, tmp_path):
    built(clustered(300, 32)).save(tmp_path)
    (tmp_path / "other").mkdir()
    built(clustered(n, dim)).save(tmp_path / "other")
    (tmp_path / "other" / "codes.npz").rename(tmp_path / "codes.npz")
    with pytest.raises(ValueError, match=r"codes.npz doesn't fit index.faiss: "):
        ExactIndex.open(tmp_path)


def test_where_nothing_can_be_pruned_it_is_plain_flat_and_says_so(monkeypatch, caplog):
    flat_is_faster(monkeypatch, from_batch=1)
    index = built(unit(2500, 256), None)
    assert index.spec == "Flat"
    assert "no prefix prunes enough to help" in caplog.text


def flat_is_faster(monkeypatch, from_batch: int) -> None:
    def timed(calls, rounds):
        _, plain = calls
        (batch, _) = plain[0].args
        return [2, 1 if len(batch) >= from_batch else 3]

    monkeypatch.setattr(exact, "in_turn", timed)


@pytest.mark.parametrize(
    ("dim", "spec"),
    [
        (63, "Flat"),
        (64, "Flat, exact by a prefix of 32 components"),
        (100, "Flat, exact by a prefix of 48 components"),
        (512, "Flat, exact by a prefix of 192 components"),
    ],
)
def test_half_of_the_dimensions_are_coded_or_192(dim, spec, monkeypatch):
    flat_is_faster(monkeypatch, from_batch=10**9)
    index = built(unit(2000, dim), None)
    assert index.spec == spec
    same_hits(index, index.vectors(np.arange(2000)), unit(3, dim, seed=1), 10)


def test_larger_batches_go_to_plain_flat():
    vectors, queries = clustered(300, 32), clustered(10, 32, seed=1)
    index = built(vectors)
    index._flat_from = 8
    same_hits(index, vectors, queries, 10)
    assert index.describe()["plain_flat_from_batch"] == 8


@pytest.mark.parametrize(
    ("queries", "k", "plainly"),
    [(1, 150, False), (1, 151, True), (8, 15, False), (8, 16, True), (7, 16, False)],
)
def test_many_hits_are_found_by_plain_flat(queries, k, plainly, monkeypatch):
    flat_is_faster(monkeypatch, from_batch=10**9)
    index = built(clustered(3000, 64), None)
    seen = []
    monkeypatch.setattr(index._flat, "search", lambda *asked: seen.append(asked))
    index.search(clustered(queries, 64, seed=1), k)
    assert bool(seen) == plainly


def test_an_opened_index_is_built_anew_as_a_new_one(monkeypatch, tmp_path):
    flat_is_faster(monkeypatch, from_batch=8)
    built(clustered(100, 256)).save(tmp_path)
    opened = ExactIndex.open(tmp_path)
    vectors = clustered(2500, 256)
    opened.build(vectors)
    assert opened.describe() == built(vectors, None).describe()
    assert opened.describe()["plain_flat_from_batch"] == 8


def test_few_vectors_are_searched_plainly():
    assert built(clustered(100, 32), None).spec == "Flat"


def test_bad_input():
    with pytest.raises(ValueError, match="unit vectors"):
        built(np.ones((3, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="build it first"):
        ExactIndex().search(unit(1), 1)


def test_a_prefix_of_other_vectors_is_refused(tmp_path):
    built(clustered(300, 32)).save(tmp_path)
    kept = (tmp_path / "codes.npz").read_bytes()
    built(clustered(300, 32, seed=5)).save(tmp_path)
    (tmp_path / "codes.npz").write_bytes(kept)
    with pytest.raises(ValueError, match="it holds other vectors"):
        ExactIndex.open(tmp_path)


@pytest.mark.parametrize("data", [b"", b"no prefix", b"PK\x03\x04" + bytes(40)])
def test_foreign_bytes_are_refused(data, tmp_path):
    built(clustered(300, 32)).save(tmp_path)
    (tmp_path / "codes.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"codes.npz doesn.t fit"):
        ExactIndex.open(tmp_path)


def test_another_kind_of_index_is_refused(tmp_path):
    graph = FaissIndex("HNSW16")
    graph.build(unit(100))
    graph.save(tmp_path)
    with pytest.raises(ValueError, match="not an exact index: HNSW16"):
        ExactIndex.open(tmp_path)


def test_a_plain_flat_index_opens(tmp_path):
    vectors, flat = clustered(300, 32), FaissIndex("Flat")
    flat.build(vectors)
    flat.save(tmp_path)
    same_hits(ExactIndex.open(tmp_path), vectors, vectors[:5], 10)


def test_queries_that_are_not_numbers_find_what_faiss_finds():
    index, query = built(clustered(300, 32)), np.full((1, 32), np.nan, dtype=np.float32)
    assert np.array_equal(index.search(query, 5)[1], index._flat.search(query, 5)[1])


def test_threads_are_put_back_and_survive_saving(tmp_path):
    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info()]

    before = threads()
    vectors = clustered(300, 32)
    index = built(vectors, 4, threads=1)
    with ThreadPoolExecutor(4) as pool:
        asked = [vectors[:3]] * 100
        found = [*pool.map(lambda queries: index.search(queries, 5)[1].tolist(), asked)]
    assert found == found[:1] * 100
    assert threads() == before
    index.save(tmp_path)
    assert ExactIndex.open(tmp_path).threads == 1


def test_a_vector_far_outside_the_grid_makes_the_bound_no_looser_for_the_others():
    rng = np.random.default_rng(0)
    cone = 1 + 0.1 * rng.standard_normal((2000, 64))
    vectors = (cone / np.linalg.norm(cone, axis=1, keepdims=True)).astype(np.float32)
    index = built(vectors, 32)
    error = index._prefix.error
    index.add(vectors[:5])
    outlier = -vectors[:1]
    index.add(outlier)
    every = np.concatenate([vectors, vectors[:5], outlier])
    assert error < index._prefix.error < 20 * error
    assert index._prefix.holds(every, np.arange(len(every)))
    same_hits(index, every, np.concatenate([vectors[:5], outlier]), 10)


def test_equal_vectors_open_again(tmp_path):
    vectors = constant(50, 32)
    built(vectors).save(tmp_path)
    same_hits(ExactIndex.open(tmp_path), vectors, vectors[:2], 5)
