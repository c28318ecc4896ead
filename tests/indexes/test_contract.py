"""What every kind of index promises, asked of FAISS and of vector stores alike.

A real Milvus too: see docs/vector-stores.md.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from indexes.hits import assert_same_hits, best_of_all
from indexes.index_makers import MODEL, IndexMaker, unit

N, DIM, Q = 300, 16, 7
VECTORS, QUERIES = unit(N, DIM), unit(Q, DIM, seed=1)
HALF = np.random.default_rng(2).random(N) < 0.5


def agrees(
    index, vectors: np.ndarray, k: int = 10, allowed: np.ndarray | None = None, exact: bool = True
) -> None:
    """Shapes, types, order and scores; and that an exact index finds what comparing all finds."""
    queries = QUERIES[:, : vectors.shape[1]]
    expected, order = best_of_all(queries, vectors, k, allowed)
    scores, positions = index.search(queries, k, allowed)
    assert scores.shape == positions.shape == expected.shape
    assert scores.dtype == np.float32
    assert positions.dtype == np.int64
    assert (np.diff(scores, axis=1) <= 0).all()
    found = positions >= 0
    own = np.einsum("qd,qkd->qk", queries, vectors[positions])
    np.testing.assert_allclose(scores[found], own[found], atol=2e-6)
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in positions)
    if allowed is not None:
        assert found.all()
        assert allowed[positions].all()
    if exact:
        assert_same_hits((scores, positions), (expected, order), atol=2e-6)
    else:
        assert (
            np.mean([len(set(a) & set(b)) / k for a, b in zip(positions, order, strict=True)]) > 0.9
        )


@pytest.fixture(scope="module")
def shared(session_maker: IndexMaker):
    """An index that tests only read."""
    index = session_maker.built(VECTORS)
    return index, session_maker.exact


@pytest.mark.parametrize("k", [1, 10, 100])
def test_it_finds_what_comparing_every_vector_finds(shared, k):
    agrees(shared[0], VECTORS, k, exact=shared[1])


def test_a_vector_finds_itself_with_a_cosine_of_one(shared):
    scores, positions = shared[0].search(VECTORS[:20], 1)
    np.testing.assert_array_equal(positions[:, 0], np.arange(20))
    np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_k_above_the_number_of_vectors_finds_all(shared):
    index, exact = shared
    scores, positions = index.search(QUERIES, N + 50)
    assert positions.shape == (Q, N)
    if exact:
        assert all(set(row) == set(range(N)) for row in positions)
    assert (scores[positions < 0] == -1).all()


@pytest.mark.parametrize(
    "allowed",
    [
        np.arange(N) == 123,
        np.arange(N) < N // 2,
        HALF,
        ~HALF,
        np.arange(N) != 5,
        np.arange(N) % 10 == 0,
        np.ones(N, dtype=bool),
    ],
    ids=["one", "first half", "random half", "the other half", "all but one", "each tenth", "all"],
)
def test_behind_a_filter_every_place_is_filled_with_the_best_that_are_allowed(shared, allowed):
    agrees(
        shared[0],
        VECTORS,
        min(10, int(allowed.sum())),
        allowed,
        exact=shared[1] or allowed.sum() < 40,
    )


def test_a_filter_that_allows_nothing_finds_nothing(shared):
    scores, positions = shared[0].search(QUERIES, 10, np.zeros(N, dtype=bool))
    assert scores.shape == positions.shape == (Q, 0)


def test_more_hits_than_are_allowed(shared):
    allowed = np.arange(N) % 50 == 0
    _, positions = shared[0].search(QUERIES, 100, allowed)
    assert positions.shape == (Q, allowed.sum())
    assert all(set(row) == set(np.flatnonzero(allowed)) for row in positions)


def test_a_filter_by_the_worst_hits_still_fills_every_place(shared):
    exact, order = best_of_all(QUERIES[:1], VECTORS, N)
    allowed = np.zeros(N, dtype=bool)
    allowed[order[0, -20:]] = True
    wanted = exact[:, -20:-10], order[:, -20:-10]
    assert_same_hits(shared[0].search(QUERIES[:1], 10, allowed), wanted, atol=2e-6)


def test_vectors_come_back_as_they_were_given(shared):
    wanted = np.array([299, 0, 7, 7])
    np.testing.assert_allclose(shared[0].vectors(wanted), VECTORS[wanted], atol=1e-6)
    assert shared[0].vectors(np.zeros(0, dtype=np.int64)).shape == (0, DIM)


def test_it_says_how_many_there_are_and_what_it_is(shared):
    assert len(shared[0]) == N
    assert shared[0].describe()["vectors"] == N
    assert shared[0].describe()["spec"] == shared[0].spec


def test_many_queries_at_once_find_what_each_finds_alone(shared):
    asked = unit(60, DIM, seed=3)
    scores, positions = shared[0].search(asked, 5)
    for row in (0, 31, 59):
        alone = shared[0].search(asked[row : row + 1], 5)
        assert_same_hits((scores[row : row + 1], positions[row : row + 1]), alone, atol=2e-6)


def test_searches_from_many_threads_at_once(shared):
    expected = shared[0].search(QUERIES, 10)[1]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared[0].search(QUERIES, 10)[1], range(40)))
    assert all(np.array_equal(answer, expected) for answer in answers)


def test_ties_and_duplicates_each_keep_a_place(maker):
    vectors = np.concatenate([VECTORS[:20], VECTORS[:20], VECTORS[:20]])
    index = maker.built(vectors)
    scores, positions = index.search(VECTORS[:5], 3)
    assert [set(row) for row in positions] == [{i, i + 20, i + 40} for i in range(5)]
    np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_what_is_added_is_found_at_once(maker):
    index = maker.built(VECTORS[:200])
    index.add(VECTORS[200:])
    assert len(index) == N
    agrees(index, VECTORS, exact=maker.exact)
    agrees(index, VECTORS, 10, HALF, exact=maker.exact)


def test_what_is_removed_is_found_no_more_and_the_others_close_up(maker):
    index = maker.built(VECTORS)
    index.remove(np.array([0, 5, 5, 298]))
    rest = np.delete(VECTORS, [0, 5, 298], axis=0)
    assert len(index) == len(rest)
    agrees(index, rest, exact=maker.exact)
    np.testing.assert_allclose(
        index.vectors(np.array([0, len(rest) - 1])), rest[[0, -1]], atol=1e-6
    )


def test_an_index_whose_last_vector_went_is_empty_when_opened(maker, tmp_path):
    index = maker.built(unit(3))
    index.remove(np.arange(3))
    index.save(tmp_path)
    opened = type(index).open(tmp_path)
    assert len(opened) == 0
    opened.add(unit(2))
    assert len(opened) == 2


def test_adds_and_removes_in_turn_across_saves(maker, tmp_path):
    rng, expected, index = np.random.default_rng(4), VECTORS[:50], maker.built(VECTORS[:50])
    for turn in range(4):
        gone = rng.permutation(len(expected))[:10]
        index.remove(gone)
        index.add(unit(15, DIM, seed=10 + turn))
        expected = np.concatenate(
            [np.delete(expected, gone, axis=0), unit(15, DIM, seed=10 + turn)]
        )
        agrees(index, expected, exact=maker.exact)
        (tmp_path / str(turn)).mkdir()
        index.save(tmp_path / str(turn))
        index = type(index).open(tmp_path / str(turn))
        agrees(index, expected, 10, np.arange(len(expected)) % 2 == 0, exact=maker.exact)
    np.testing.assert_allclose(index.vectors(np.arange(len(expected))), expected, atol=1e-6)


def test_a_saved_index_opens_as_it_was_whatever_comes_later(maker, tmp_path):
    index = maker.built(VECTORS)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    files = index.save(tmp_path / "a")
    assert sorted(files) == sorted(path.name for path in (tmp_path / "a").iterdir())
    index.remove(np.arange(100))
    index.add(unit(30, DIM, seed=5))
    index.save(tmp_path / "b")
    before, after = type(index).open(tmp_path / "a"), type(index).open(tmp_path / "b")
    assert (len(before), len(after)) == (N, N - 70)
    agrees(before, VECTORS, exact=maker.exact)
    agrees(after, np.concatenate([VECTORS[100:], unit(30, DIM, seed=5)]), exact=maker.exact)
    assert before.spec == after.spec == index.spec


def test_a_build_replaces_what_was_there(maker, tmp_path):
    index = maker.built(VECTORS)
    index.save(tmp_path)
    others = unit(40, DIM, seed=6)
    index.build(others)
    agrees(index, others, exact=maker.exact)
    agrees(type(index).open(tmp_path), VECTORS, exact=maker.exact)


def test_readers_beside_a_writer_see_what_they_opened(maker, tmp_path):
    if not maker.remote:
        pytest.skip(
            "FAISS can't be changed beside a search; a bundle's readers each open their own"
        )
    maker.built(VECTORS).save(tmp_path)
    reader, writer = (type(maker.new()).open(tmp_path) for _ in range(2))
    expected = reader.search(QUERIES, 10)[1]

    def write() -> None:
        for turn in range(5):
            writer.remove(np.arange(20))
            writer.add(unit(20, DIM, seed=20 + turn))
            folder = tmp_path / str(turn)
            folder.mkdir()
            writer.save(folder)

    with ThreadPoolExecutor(4) as pool:
        writing = pool.submit(write)
        answers = []
        while not writing.done():
            answers += pool.map(lambda _: reader.search(QUERIES, 10)[1], range(3))
        writing.result()
    assert answers
    assert all(np.array_equal(answer, expected) for answer in answers)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, DIM), np.float32),
        np.full((3, DIM), np.nan, np.float32),
        np.zeros((3, DIM), np.float32),
        2 * unit(3, DIM),
        np.concatenate([unit(2, DIM), np.full((1, DIM), np.inf, np.float32)]),
    ],
    ids=["none", "NaN", "zeros", "too long", "infinite"],
)
def test_what_are_no_unit_vectors_is_refused_and_changes_nothing(maker, shared, bad):
    with pytest.raises(ValueError, match="unit vectors"):
        maker.new().build(bad)
    with pytest.raises(ValueError, match="unit vectors"):
        shared[0].add(bad)
    assert len(shared[0]) == N


def test_an_index_that_was_not_built_says_so(maker):
    with pytest.raises(ValueError, match="build it first"):
        maker.new().search(QUERIES, 3)


def test_vectors_of_another_model_are_refused_with_both_fingerprints(maker, tmp_path):
    if not maker.remote:
        pytest.skip(
            "FAISS's files are bound to their model by the bundle that they lie in: "
            "tests/generations"
        )
    maker.built(VECTORS[:50]).save(tmp_path)
    with pytest.raises(ValueError, match="another model") as told:
        type(maker.new()).open(tmp_path).bind("b" * 64)
    assert MODEL in str(told.value)
    assert "b" * 64 in str(told.value)


@pytest.mark.parametrize("dim", [1, 3, 2048])
def test_short_and_long_vectors(maker, dim):
    vectors = unit(40, dim, seed=7)
    index = maker.built(vectors)
    scores, positions = index.search(vectors[:5], 3)
    expected, _ = best_of_all(vectors[:5], vectors, 3)
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    np.testing.assert_allclose(index.vectors(positions[:, 0]), vectors[positions[:, 0]], atol=1e-6)


def test_a_single_vector(maker):
    index = maker.built(VECTORS[:1])
    scores, positions = index.search(QUERIES, 5)
    assert positions.tolist() == [[0]] * Q
    np.testing.assert_allclose(scores[:, 0], QUERIES @ VECTORS[0], atol=2e-6)


def test_thousands_of_vectors_come_in_batches(maker):
    vectors = unit(11_000, 8, seed=8)
    index = maker.built(vectors)
    assert len(index) == len(vectors)
    np.testing.assert_array_equal(
        index.search(vectors[[0, 9_999, 10_000, 10_999]], 1)[1][:, 0], [0, 9999, 10000, 10999]
    )
