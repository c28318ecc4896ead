import numpy as np
import pytest
from indexes.test_faiss import unit

from vsearch.indexes import auto
from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.choice import BudgetError, Measured
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex


def built(vectors: np.ndarray, **settings) -> AutoIndex:
    index = AutoIndex(**settings)
    index.build(vectors)
    return index


@pytest.fixture
def seen(monkeypatch) -> list[dict]:
    """Replace the clock: each candidate takes a fifth less than the one before. Keeps what was
    measured with.
    """
    calls: list[dict] = []
    measure = auto.measure

    def fake(tried, vectors, queries, n, done):
        rows = measure(tried, vectors, queries, n, done=done)
        calls.append({"vectors": vectors, "queries": queries, "n": n})
        return [
            Measured(**{**vars(row), "single_ms": 10 * 0.8**number})
            for number, row in enumerate(rows)
        ]

    monkeypatch.setattr(auto, "measure", fake)
    return calls


def mine(*factories: str) -> list[Index]:
    return [FaissIndex(factory) for factory in factories]


def test_queries_are_held_out_of_the_trial_and_are_in_the_index(seen):
    vectors = unit(200, 16)
    index = built(vectors, candidates=mine("Flat", "SQfp16"))
    (trial,) = seen
    held, kept = ({row.tobytes() for row in trial[side]} for side in ("queries", "vectors"))
    assert (len(held), len(kept), trial["n"]) == (40, 160, 200)
    assert not held & kept
    assert held | kept == {row.tobytes() for row in vectors}
    assert len(index) == 200
    assert index.search(vectors, 1)[1][:, 0].tolist() == list(range(200))


def test_a_large_gallery_is_tried_on_a_sample(seen):
    index = built(unit(300, 16), candidates=mine("Flat"), sample=50)
    assert (len(seen[0]["vectors"]), seen[0]["n"], len(index)) == (50, 300, 300)
    assert index.describe()["trial"] == {"vectors": 50, "queries": 60}


def test_the_fastest_that_finds_enough_is_kept(seen):
    index = built(unit(300, 64), candidates=mine("Flat", "SQ8", "PQ4x4"))
    assert index.spec == "auto: SQ8"
    assert [row["chosen"] for row in index.describe()["frontier"]] == [False, True, False]
    assert "PQ4x4, which finds 0." in index.describe()["why"]


def test_settings_belong_to_the_choice(seen):
    index = built(unit(2000, 32), min_recall=0.5)
    assert isinstance(index.chosen, FaissIndex)
    assert index.chosen.search_parameters == index.describe()["pin"]["init_args"]["search"] != {}
    assert index.spec == f"auto: {index.chosen.spec}"


def test_what_is_chosen_for_a_seed_is_the_same(seen):
    first, second = (built(unit(1500, 32), min_recall=0.8, seed=3).describe() for _ in range(2))
    for one in (first, second):
        for row in one["frontier"]:
            del row["build_s"], row["batch_ms"]
    assert first == second


def test_no_candidate_within_the_budgets(seen):
    index = AutoIndex(1.0, max_ms=1e-9, candidates=mine("Flat", "PQ4x4"))
    with pytest.raises(BudgetError, match=r"Nearest: PQ4x4, which finds .* and takes 8 ms"):
        index.build(unit(300, 64))
    assert len(index) == 0
    with pytest.raises(ValueError, match="build it first"):
        index.search(unit(1), 1)


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 60])
def test_few_vectors(n):
    index = built(unit(n, 4))
    assert len(index) == n
    assert index.search(unit(n, 4), 1)[1][:, 0].tolist() == list(range(n))
    assert bool(index.describe()["frontier"]) == (n >= 10)


def test_it_opens_as_it_was(seen, tmp_path):
    vectors = unit(1500, 32)
    index = built(vectors, min_recall=0.5, max_ms=50, seed=4)
    names = index.save(tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    opened = AutoIndex.open(tmp_path)
    assert opened.describe() == index.describe()
    for mine, theirs in zip(
        index.search(vectors[:9], 5), opened.search(vectors[:9], 5), strict=True
    ):
        assert np.array_equal(mine, theirs)


def test_an_opened_one_tries_the_same_candidates_again(seen, tmp_path):
    offered = [
        FaissIndex("HNSW8", search={"efSearch": 99}, seed=3),
        ExactIndex(4),
        FaissIndex("SQ8"),
    ]
    built(unit(200, 16), candidates=offered, min_recall=0.5).save(tmp_path)
    (tmp_path / "again").mkdir()
    AutoIndex.open(tmp_path).save(tmp_path / "again")
    (tmp_path / "again" / "auto.json").replace(tmp_path / "auto.json")
    opened = AutoIndex.open(tmp_path)
    opened.build(unit(200, 16))
    specs = [row["spec"] for row in opened.describe()["frontier"]]
    assert specs == ["HNSW8, efSearch=99", "Flat, exact by a prefix of 4 components", "SQ8"]


@pytest.mark.parametrize("content", [None, "{}", '{"class_path": "gone.Index"}', "[]", "no json"])
def test_what_is_no_choice_is_refused(content, tmp_path):
    built(unit(20)).save(tmp_path)
    (tmp_path / "auto.json").unlink()
    if content is not None:
        (tmp_path / "auto.json").write_text(content)
    with pytest.raises(ValueError, match=r"auto\.json"):
        AutoIndex.open(tmp_path)


def test_adding_removing_and_filtering_are_the_chosen_indexs():
    vectors = unit(60, 8)
    index = built(vectors[:50], candidates=mine("SQfp16"))  # SQ8 bends what is added
    index.add(vectors[50:])
    index.remove(np.arange(10))
    assert len(index) == 50
    assert np.allclose(index.vectors(np.array([0, 49])), vectors[[10, 59]], atol=1e-2)
    allowed = np.arange(50) >= 45
    assert set(index.search(vectors[:4], 10, allowed)[1].ravel().tolist()) == set(range(45, 50))


def test_before_it_is_built_it_says_little():
    assert AutoIndex().describe() == {"spec": "auto", "vectors": 0}
    with pytest.raises(ValueError, match="min_recall"):
        AutoIndex(2)
