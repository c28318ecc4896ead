import numpy as np
import pytest

from vsearch.evaluation.axes import Attributes
from vsearch.evaluation.label_judge import LabelJudge, shares
from vsearch.evaluation.scoring import Embedded
from vsearch.indexes.faiss import FaissIndex


def unit(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def judge(n: int = 200, q: int = 40, labels: int = 4, seed: int = 0) -> LabelJudge:
    """Random items; some colours are missing, -1; the first query is the first item itself."""
    rng = np.random.default_rng(seed)
    codes = [np.stack([rng.integers(0, labels, m), rng.integers(-1, 3, m)], 1) for m in (q, n)]
    queries = Embedded(unit(q, seed=1), codes[0][:, 0], np.arange(q))
    gallery = Embedded(unit(n), codes[1][:, 0], np.r_[0, np.arange(q, q + n - 1)])
    return LabelJudge(queries, gallery, Attributes(("label", "colour"), *codes))


def index_of(judge: LabelJudge, factory: str, rows: np.ndarray) -> FaissIndex:
    index = FaissIndex(factory)
    index.build(judge.gallery.embeddings[rows])
    return index


def naive(judge: LabelJudge, index: FaissIndex, rows: np.ndarray) -> dict[str, list[float]]:
    """Search, leave the query itself out, and count, one query and one hit after the other."""
    found: dict[str, list[float]] = {}
    for number, query in enumerate(judge.queries):
        _, positions = index.search(query[None], len(rows))
        hits = []
        for position in positions[0]:
            if judge.gallery.keys[rows[position]] != judge.asked.keys[number]:
                hits.append(rows[position])
        for column, name in enumerate(judge.known.names):
            wanted = judge.known.queries[number, column]
            if wanted < 0 or wanted not in judge.known.gallery[rows, column]:
                continue
            right = [judge.known.gallery[hit, column] == wanted for hit in hits[:10]]
            if name == "label":
                found.setdefault("precision_at_1", []).append(float(right[0]))
            key = "precision_at_10" if name == "label" else "axis/colour_at_10"
            found.setdefault(key, []).append(sum(right) / 10)
    return found


@pytest.mark.parametrize("n", [200, 7])
def test_losses_against_a_naive_loop(n):
    made = judge()
    rows = np.sort(np.random.default_rng(3).permutation(200)[:n])
    coarse = index_of(made, "SQ4" if n < 20 else "PQ4x4", rows)
    losses = made.among(rows)(coarse)
    exact = naive(made, index_of(made, "Flat", rows), rows)
    found = naive(made, coarse, rows)
    assert list(losses) == ["precision_at_1", "precision_at_10", "axis/colour_at_10"]
    rng = np.random.default_rng(0)
    for metric, loss in losses.items():
        falls = [a - b for a, b in zip(exact[metric], found[metric], strict=True)]
        assert loss.value == pytest.approx(sum(falls) / len(falls))
        means = [np.mean(rng.choice(falls, len(falls))) for _ in range(2000)]
        assert (loss.low, loss.high) == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.02)
    assert n < 20 or losses["precision_at_10"].high > 0


def test_by_hand():
    """Of two queries, the second one's best hit, and one of its three, are lost."""
    hits = np.array([[0, 1, 2], [3, 0, -1]])
    values = np.array([5, 5, 6, 7])
    found = shares(hits, np.array([5, 5]), values, "label")
    assert found["precision_at_1"].tolist() == [1, 0]
    assert found["precision_at_10"].tolist() == [0.2, 0.1]
    assert shares(hits, np.array([5, -1]), values, "colour")["axis/colour_at_10"].tolist() == [0.2]


def test_exact_search_loses_nothing():
    made = judge()
    rows = np.arange(200)
    losses = made.among(rows)(index_of(made, "Flat", rows))
    for loss in losses.values():
        assert (loss.value, loss.low, loss.high) == (0, 0, 0)


def test_of_one_label_nothing_can_be_lost():
    made = judge(labels=1)
    rows = np.arange(200)
    losses = made.among(rows)(index_of(made, "PQ4x4", rows))
    for metric in ("precision_at_1", "precision_at_10"):
        loss = losses[metric]
        assert (loss.value, loss.low, loss.high) == (0, 0, 0)


def test_labels_that_the_gallery_lacks_judge_nothing():
    made = judge()
    made.known.gallery[:] = 99
    rows = np.arange(200)
    assert made.among(rows)(index_of(made, "SQ8", rows)) == {}
