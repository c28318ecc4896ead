import re
from functools import partial

import numpy as np
import pytest
from indexes.test_faiss import unit

from vsearch.indexes import auto
from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.base import Index
from vsearch.indexes.candidates import Candidate
from vsearch.indexes.choice import BudgetError, Loss, Measured
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

    def fake(tried, reference, n, judge):
        rows = measure(tried, reference, n, judge)
        calls.append({"vectors": reference.vectors, "queries": reference.queries, "n": n})
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
    assert len(seen) == 1  # exact search finds everything of all vectors, too
    assert (len(seen[0]["vectors"]), seen[0]["n"], len(index)) == (50, 300, 300)
    assert index.describe()["trial"] == {"vectors": 50, "queries": 60}


def tried_on_a_sample(monkeypatch, *rows: tuple[str, float, float, float]) -> None:
    """Replace a trial: each row has a factory, efSearch or nprobe, its recall and milliseconds.

    What is measured on all vectors, later, is measured truly.
    """
    offered = []
    measured = []
    for factory, value, recall, ms in rows:
        name = "nprobe" if "IVF" in factory else "efSearch"
        make = partial(FaissIndex, factory)
        offered.append(Candidate(lambda n, make=make: make(), ({name: value},)))
        measured.append(Measured(f"{factory}, {value}", recall, ms, 1, 1, 1))
    monkeypatch.setattr(auto, "candidates", lambda *others: offered)
    truly = auto.measure

    def measure(*given):
        monkeypatch.setattr(auto, "measure", truly)
        return measured

    monkeypatch.setattr(auto, "measure", measure)


def test_a_setting_that_finds_enough_of_a_sample_is_chosen_again_for_all(monkeypatch):
    each = ((4, 0.4), (8, 0.9), (16, 0.95), (512, 1.0))
    rows = [("HNSW8", float(ef), recall, ef / 100) for ef, recall in each]
    tried_on_a_sample(monkeypatch, *rows)
    index = built(unit(6_000, 32), min_recall=0.9, sample=500)
    assert index.chosen.search_parameters == {"efSearch": 512}
    assert [row["chosen"] for row in index.found["frontier"]] == [False, False, False, True]
    told = "Of all 6,000 vectors, this was kept: HNSW8, efSearch=512: recall@10 "
    assert re.search(told + r"(0\.9\d+|1\.0000), [\d.]+ ms per search, ", index.found["why"])


def test_where_no_setting_finds_enough_of_all_the_one_that_finds_most_is_taken(monkeypatch):
    tried_on_a_sample(monkeypatch, ("HNSW8", 4.0, 0.9, 0.01), ("HNSW8", 8.0, 0.95, 0.02))
    index = built(unit(6_000, 32), min_recall=0.9, sample=500)
    assert index.chosen.search_parameters == {"efSearch": 8}
    assert re.search(
        r"HNSW8, efSearch=8: recall@10 0\.[1-8].*, which finds 0.*, not 0\.9\.$", index.found["why"]
    )


@pytest.mark.parametrize(("nprobe", "kept"), [(4.0, "IVF4,Flat"), (1.0, "HNSW8")])
def test_a_quicker_kind_that_finds_nearly_enough_of_a_sample_is_measured_on_all(
    nprobe, kept, monkeypatch
):
    """Of all vectors, 4 lists of 4 find everything, and 1 list finds too little."""
    graph = ("HNSW8", 2000.0, 0.99, 1.0)
    tried_on_a_sample(monkeypatch, graph, ("IVF4,Flat", nprobe, 0.95, 0.5))
    index = built(unit(2_000, 32), min_recall=0.99, sample=500)
    assert index.chosen.factory == kept
    assert [row["chosen"] for row in index.found["frontier"]] == [kept == "HNSW8", kept != "HNSW8"]
    assert f"Of all 2,000 vectors, this was kept: {kept}, " in index.found["why"]
    (chosen,) = (row for row in index.found["frontier"] if row["chosen"])
    assert (chosen["recall_at_10"] > 0.99, chosen["within_budget"]) == (True, True)


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
    said = r"budgets. Nearest: PQ4x4, which finds 0.*, not 1 and takes 8 ms, not 1e-09.$"
    with pytest.raises(BudgetError, match=said) as refused:
        index.build(unit(300, 64))
    assert [row["spec"] for row in refused.value.frontier] == ["Flat", "PQ4x4"]
    assert not any(row["chosen"] or row["within_budget"] for row in refused.value.frontier)
    assert len(index) == 0
    with pytest.raises(ValueError, match="build it first"):
        index.search(unit(1), 1)


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 60])
def test_few_vectors(n):
    index = built(unit(n, 4))
    assert len(index) == n
    assert index.search(unit(n, 4), 1)[1][:, 0].tolist() == list(range(n))
    assert bool(index.describe()["frontier"]) == (n >= 10)


def test_few_vectors_after_many_have_no_trial(seen):
    index = built(unit(200, 16), candidates=mine("Flat", "SQ8"))
    index.build(unit(6, 16))
    assert index.found["frontier"] == []
    assert index.found["trial"] == {"vectors": 0, "queries": 0}


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


def test_an_opened_one_is_built_again_as_what_was_chosen(seen, tmp_path):
    built(unit(200, 16), candidates=mine("Flat", "SQ8"), min_recall=0.5).save(tmp_path)
    opened = AutoIndex.open(tmp_path)
    opened.build(unit(300, 16))
    assert (opened.spec, len(opened), len(seen)) == ("auto: SQ8", 300, 1)
    opened.build(unit(200, 16))
    assert re.match(
        r"Chosen for earlier vectors, not these. Of 2 candidates, ", opened.found["why"]
    )


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


class MadeUpJudge:
    """Says what each kind loses, by its spec."""

    def __init__(self, queries: np.ndarray, losses: dict[str, float]) -> None:
        self.queries = queries
        self.losses = losses
        self.rows: np.ndarray | None = None

    def among(self, rows: np.ndarray):
        self.rows = rows
        return lambda index: labels(self.losses[index.spec])


def labels(loss: float) -> dict[str, Loss]:
    return {"precision_at_1": Loss(loss, loss - 0.005, loss + 0.005)}


def test_what_users_lose_decides_and_not_what_the_index_misses(seen):
    """By hand: SQ8 may lose 0.008, PQ4x4 0.025 of precision@1; PQ4x4 is faster and smaller."""
    vectors = unit(300, 64)
    index = AutoIndex(None, max_label_loss=0.01, candidates=mine("Flat", "SQ8", "PQ4x4"))
    index.judge = MadeUpJudge(unit(50, 64, 1), {"Flat": 0.0, "SQ8": 0.003, "PQ4x4": 0.02})
    index.build(vectors)
    assert index.spec == "auto: SQ8"
    assert "PQ4x4, which may lose 0.0250 of precision_at_1, not 0.01." in index.found["why"]
    assert index.found["trial"] == {"vectors": 300, "queries": 50}
    assert {row.tobytes() for row in seen[0]["queries"]} == {
        row.tobytes() for row in index.judge.queries
    }
    chosen = index.found["frontier"][1]
    assert chosen["losses"]["precision_at_1"] == {
        "value": 0.003,
        "low": -0.002,
        "high": 0.008,
    }


def test_the_smallest_where_memory_is_preferred(seen):
    index = AutoIndex(0, prefer="memory", candidates=mine("SQ4", "Flat", "SQ8"))
    index.build(unit(300, 64))
    assert index.spec == "auto: SQ4"
    assert "the smallest is SQ4" in index.found["why"]


def test_a_sample_is_judged_among_itself(seen):
    index = AutoIndex(None, max_label_loss=0.01, candidates=mine("Flat"), sample=50)
    index.judge = MadeUpJudge(unit(20, 64, 1), {"Flat": 0.0})
    vectors = unit(300, 64)
    index.build(vectors)
    assert np.array_equal(vectors[index.judge.rows], seen[0]["vectors"])


def test_without_labelled_queries_label_budgets_choose_nothing():
    index = AutoIndex(None, max_label_loss=0.01, candidates=mine("Flat", "SQ8"))
    with pytest.raises(BudgetError, match="need labelled queries that weren't trained on"):
        index.build(unit(300, 64))
