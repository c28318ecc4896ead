import numpy as np
import pytest

from vsearch.evaluation import scoring as evaluate
from vsearch.evaluation.scoring import Embedded, score, scored_hits, top_hits
from vsearch.indexes.faiss import FaissIndex


def made(n: int, n_labels: int, seed: int, first_key: int = 0) -> Embedded:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 6))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Embedded(unit, rng.integers(n_labels, size=n), np.arange(first_key, first_key + n))


def search(queries: Embedded, gallery: Embedded) -> evaluate.Scores:
    index = FaissIndex()
    index.build(gallery.embeddings)
    return score(index, queries, gallery)


def loop(queries: Embedded, gallery: Embedded, i: int) -> dict[str, float]:
    """The same scores for one query, one item at a time."""
    allowed = [j for j in range(len(gallery)) if gallery.keys[j] != queries.keys[i]]
    cosines = [-float(queries.embeddings[i] @ gallery.embeddings[j]) for j in allowed]
    hits = [gallery.labels[allowed[j]] == queries.labels[i] for j in np.argsort(cosines)]
    r = sum(hits)
    return {
        "precision_at_1": float(hits[0]),
        "r_precision": sum(hits[:r]) / r,
        "map_at_r": sum(sum(hits[: j + 1]) / (j + 1) for j in range(r) if hits[j]) / r,
        "cmc_at_10": float(any(hits[:10])),
    }


@pytest.mark.parametrize("chunk", [1, 300, 10**6])
def test_against_a_loop_with_and_without_itself_in_the_gallery(monkeypatch, chunk):
    monkeypatch.setattr(evaluate, "CHUNK", chunk)
    gallery = made(60, 4, seed=0)
    for queries in (made(25, 4, seed=1, first_key=1000), gallery):
        found = search(queries, gallery)
        for i in range(len(queries)):
            for name, value in loop(queries, gallery, i).items():
                assert found.model[name][i] == pytest.approx(value), name


def test_a_sequence_is_left_out_whole():
    base = made(40, 3, seed=2)
    keyed = Embedded(base.embeddings, base.labels, np.arange(40) // 4)
    found = search(keyed, keyed)
    kept = [
        i
        for i in range(40)
        if any(keyed.labels[j] == keyed.labels[i] and j // 4 != i // 4 for j in range(40))
    ]
    assert found.unanswerable == 40 - len(kept)
    for position, i in enumerate(kept):
        assert found.model["map_at_r"][position] == pytest.approx(loop(keyed, keyed, i)["map_at_r"])


@pytest.mark.parametrize("chunk", [1, 10**6])
@pytest.mark.parametrize("depth", [1, 10, 100])
def test_top_hits_are_the_best_items_that_count(monkeypatch, chunk, depth):
    monkeypatch.setattr(evaluate, "CHUNK", chunk)
    base = made(40, 3, seed=2)
    keyed = Embedded(
        base.embeddings, base.labels, np.arange(40) // 4 % 9
    )  # sequences of 4 items, one of 8
    index = FaissIndex()
    index.build(keyed.embeddings)
    scores, found = scored_hits(index, keyed, keyed, depth)
    for i, hits in enumerate(found):
        allowed = [j for j in range(40) if keyed.keys[j] != keyed.keys[i]]
        best = sorted(allowed, key=lambda j: -float(keyed.embeddings[i] @ keyed.embeddings[j]))[
            :depth
        ]
        assert hits.tolist() == best + [-1] * (found.shape[1] - len(best))
        cosines = [float(keyed.embeddings[i] @ keyed.embeddings[j]) for j in best]
        assert scores[i, : len(best)] == pytest.approx(cosines, abs=1e-6)
        assert np.isnan(scores[i, len(best) :]).all()
    assert found.shape == scores.shape == (40, min(depth, 40))
    assert np.array_equal(found, top_hits(index, keyed, keyed, depth))


def test_queries_without_an_answer_are_counted_and_left_out():
    gallery = made(30, 3, seed=0)
    queries = made(10, 5, seed=1, first_key=100)
    found = search(queries, gallery)
    assert found.unanswerable == (queries.labels >= 3).sum() > 0
    assert len(found.labels) + found.unanswerable == 10
    assert found.answered.tolist() == np.flatnonzero(queries.labels < 3).tolist()
    assert found.labels.tolist() == queries.labels[found.answered].tolist()


def test_nothing_answerable_is_refused():
    with pytest.raises(ValueError, match="no query has an item of its label"):
        search(
            Embedded(np.eye(2, dtype=np.float32), np.array([7, 8]), np.array([5, 6])),
            made(5, 2, seed=0),
        )


def test_index_and_gallery_must_be_of_one_size():
    index = FaissIndex()
    index.build(made(4, 2, 0).embeddings)
    with pytest.raises(ValueError, match="holds 4 vectors, the gallery 5 items"):
        score(index, made(2, 2, 1), made(5, 2, 0))


def test_chance_counts_without_the_query_itself():
    labels = np.array([0, 0, 0, 1, 1])
    items = Embedded(made(5, 2, 0).embeddings, labels, np.arange(5))
    assert search(items, items).chance["precision_at_1"].tolist() == [0.5, 0.5, 0.5, 0.25, 0.25]


def test_sides_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="2 embeddings, 3 labels"):
        Embedded(np.eye(2), np.arange(3), np.arange(2))
