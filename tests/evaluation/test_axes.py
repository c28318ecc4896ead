from math import log2

import numpy as np
import pandas as pd
import pytest

from vsearch.evaluation import axes
from vsearch.evaluation import scoring as evaluate
from vsearch.evaluation.axes import AxesScores, Axis, attributes, score_axes
from vsearch.evaluation.scoring import Embedded, top_hits
from vsearch.indexes.faiss import FaissIndex

MISSING = (None, np.nan, "", " ")
AXES = ["colour", "size"]


class Side:
    """Items with vectors, keys, a label and two axes of which some values are missing."""

    def __init__(self, n: int, seed: int, keys: np.ndarray, share_missing: float = 0.2) -> None:
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((n, 6))
        unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        self.embedded = Embedded(unit, rng.integers(4, size=n), keys)
        table = {
            "label": self.embedded.labels,
            "colour": rng.choice(["red", "blue"], n),
            "size": rng.integers(9, size=n),
        }
        self.items = pd.DataFrame(table).astype(object)
        for axis in AXES:
            for row in np.flatnonzero(rng.random(n) < share_missing):
                self.items.loc[row, axis] = MISSING[rng.integers(4)]


def measure(queries: Side, gallery: Side, names: list[str] = AXES) -> AxesScores:
    index = FaissIndex()
    index.build(gallery.embedded.embeddings)
    hits = top_hits(index, queries.embedded, gallery.embedded)
    return score_axes(
        hits, queries.embedded, gallery.embedded, attributes(queries.items, gallery.items, names)
    )


def is_missing(value: object) -> bool:
    return value is None or value != value or not str(value).strip()


def equal(one: object, other: object) -> bool:
    return not is_missing(one) and not is_missing(other) and one == other


def ranking(queries: Side, gallery: Side, i: int) -> list[int]:
    """The gallery's items that count for query i, best first."""
    q, g = queries.embedded, gallery.embedded
    allowed = [j for j in range(len(g)) if g.keys[j] != q.keys[i]]
    return sorted(allowed, key=lambda j: -float(q.embeddings[i] @ g.embeddings[j]))


def dcg(gains: list[float]) -> float:
    return sum(gain / log2(1 + rank) for rank, gain in enumerate(gains[:10], start=1))


def scored_by_a_loop(hits: list[bool]) -> dict[str, float]:
    scores = {f"precision_at_{k}": sum(hits[:k]) / k for k in (1, 5, 10)}
    scores |= {f"cmc_at_{k}": float(any(hits[:k])) for k in (5, 10)}
    return scores | {
        "ndcg_at_10": dcg([float(hit) for hit in hits]) / dcg(sorted(hits, reverse=True))
    }


SIDES = {
    "apart": (Side(40, 0, np.arange(1000, 1040)), Side(70, 1, np.arange(70))),
    "among themselves": (Side(60, 2, np.arange(60)),) * 2,
    "sequences": (Side(60, 3, np.arange(60) // 7),) * 2,
    "a gallery below 10": (Side(30, 4, np.arange(1000, 1030)), Side(7, 5, np.arange(7))),
}


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("axis", AXES)
def test_an_axis_against_a_loop_over_all_items(name, axis):
    queries, gallery = SIDES[name]
    found = measure(queries, gallery).axes[axis]
    kept, unanswerable = [], 0
    for i, wanted in enumerate(queries.items[axis]):
        hits = [equal(wanted, gallery.items.loc[j, axis]) for j in ranking(queries, gallery, i)]
        if not is_missing(wanted) and not any(hits):
            unanswerable += 1
        if any(hits):
            scores = scored_by_a_loop(hits)
            both = [
                hit and gallery.items.loc[j, "label"] == queries.items.loc[i, "label"]
                for hit, j in zip(hits, ranking(queries, gallery, i), strict=True)
            ]
            scores[f"label_and_{axis}_at_10"] = sum(both[:10]) / 10
            assert {
                metric: values[len(kept)] for metric, values in found.scores.model.items()
            } == pytest.approx(scores)
            by_chance = sum(both) / len(both) * min(10, len(both)) / 10
            expected = found.scores.chance[f"label_and_{axis}_at_10"][len(kept)]
            assert expected == pytest.approx(by_chance)
            assert found.scores.chance["precision_at_1"][len(kept)] == pytest.approx(
                sum(hits) / len(hits)
            )
            kept.append(i)
    assert found.scores.answered.tolist() == kept
    assert (found.missing, found.scores.unanswerable) == (
        sum(map(is_missing, queries.items[axis])),
        unanswerable,
    )
    assert found.values == len({value for value in gallery.items[axis] if not is_missing(value)})
    assert set(found.scores.chance) == set(found.scores.model)


@pytest.mark.parametrize("name", SIDES)
def test_graded_relevance_against_a_loop_over_all_items(name):
    queries, gallery = SIDES[name]
    found = measure(queries, gallery).graded
    kept = []
    for i in range(len(queries.items)):
        mine = queries.items.loc[i]
        order = ranking(queries, gallery, i)
        shares = [
            sum(equal(mine[a], gallery.items.loc[j, a]) for a in ("label", *AXES)) / 3
            for j in order
        ]
        if not any(shares):
            continue
        best = dcg(sorted(shares, reverse=True))
        assert found.model["ndcg_at_10"][len(kept)] == pytest.approx(dcg(shares) / best)
        expected = dcg([sum(shares) / len(shares)] * len(shares)) / best
        assert found.chance["ndcg_at_10"][len(kept)] == pytest.approx(expected)
        kept.append(i)
    assert found.answered.tolist() == kept
    assert found.unanswerable == len(queries.items) - len(kept)


def line(angles: list[float], keys: list[int], **columns: list) -> Side:
    """Items on a circle: the nearer the angle, the better the score."""
    side = Side.__new__(Side)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    side.embedded = Embedded(unit, np.array(columns["label"]), np.array(keys))
    side.items = pd.DataFrame(columns).astype(object)
    return side


def test_by_hand():
    # The second item has the query's key and does not count. Matches in rank order: 1 of 2, 2 of 2,
    # 0 (missing, other).
    query = line([0], [7], label=[1], colour=["red"])
    colours = ["blue", "red", "red", None]
    gallery = line([0.1, 0.2, 0.3, 0.4], [0, 7, 1, 2], label=[1, 1, 1, 5], colour=colours)
    found = measure(query, gallery, ["colour"])
    axis = found.axes["colour"]
    assert {name: value.tolist() for name, value in axis.scores.model.items()} == {
        "precision_at_1": [0],
        "precision_at_5": [0.2],
        "precision_at_10": [0.1],
        "cmc_at_5": [1],
        "cmc_at_10": [1],
        "ndcg_at_10": [pytest.approx(0.6309298)],
        "label_and_colour_at_10": [0.1],
    }
    assert axis.scores.chance["label_and_colour_at_10"].tolist() == [pytest.approx(0.1)]
    assert axis.scores.chance["precision_at_1"].tolist() == [pytest.approx(1 / 3)]
    best = 1 + 0.5 * 0.6309298
    assert found.graded.model["ndcg_at_10"].tolist() == [pytest.approx((0.5 + 0.6309298) / best)]
    assert found.graded.chance["ndcg_at_10"].tolist() == [
        pytest.approx(0.5 * (1 + 0.6309298 + 0.5) / best)
    ]


@pytest.mark.parametrize("n_attributes", [1, 2, 6])
def test_items_are_counted_by_how_many_attributes_they_match(n_attributes):
    rng = np.random.default_rng(0)
    queries, gallery = (rng.integers(-1, 3, size=(n, n_attributes)) for n in (30, 500))
    found = axes._match_counts(queries, gallery)
    for query, counts in zip(queries, found, strict=True):
        matches = [
            sum(one == other >= 0 for one, other in zip(query, item, strict=True))
            for item in gallery
        ]
        assert counts.tolist() == np.bincount(matches, minlength=n_attributes + 1).tolist()


def test_chance_is_what_random_rankings_score():
    gallery = Side(25, 0, np.arange(25))
    query = Side(1, 1, np.array([99]), share_missing=0)
    known = attributes(query.items, gallery.items, AXES)
    hits = np.stack([np.random.default_rng(seed).permutation(25)[:10] for seed in range(4000)])
    many = Embedded(*(np.repeat(part, 4000, axis=0) for part in vars(query.embedded).values()))
    repeated = axes.Attributes(known.names, np.repeat(known.queries, 4000, axis=0), known.gallery)
    found = axes._graded(hits, many, gallery.embedded, repeated)
    assert found.model["ndcg_at_10"].mean() == pytest.approx(
        found.chance["ndcg_at_10"][0], abs=0.01
    )


def test_one_value_scores_one_as_chance_does():
    queries, gallery = Side(8, 0, np.arange(100, 108)), Side(20, 1, np.arange(20))
    queries.items["colour"] = gallery.items["colour"] = "red"
    scores = measure(queries, gallery).axes["colour"].scores
    # Of the label and this value, the label alone decides.
    index = FaissIndex()
    index.build(gallery.embedded.embeddings)
    label = evaluate.score(index, queries.embedded, gallery.embedded)
    for found, wanted in ((scores.model, label.model), (scores.chance, label.chance)):
        joint = found.pop("label_and_colour_at_10")
        np.testing.assert_allclose(joint, wanted["precision_at_10"])
    for name in scores.model:
        np.testing.assert_allclose(scores.model[name], 1)
        np.testing.assert_allclose(scores.chance[name], 1)


@pytest.mark.parametrize("empty", ["queries", "gallery", "both"])
def test_an_axis_without_values_leaves_no_query(empty):
    queries, gallery = Side(8, 0, np.arange(100, 108), 0), Side(20, 1, np.arange(20), 0)
    if empty in ("queries", "both"):
        queries.items["colour"] = None
    if empty in ("gallery", "both"):
        gallery.items["colour"] = np.nan
    found = measure(queries, gallery)
    axis = found.axes["colour"]
    assert axis.missing + axis.scores.unanswerable == 8
    assert axis.values == (2 if empty == "queries" else 0)
    assert all(
        len(values) == 0 for values in (*axis.scores.model.values(), *axis.scores.chance.values())
    )
    assert len(found.graded.answered) == 8
    without = measure(queries, gallery, ["size"]).graded.model["ndcg_at_10"]
    np.testing.assert_allclose(found.graded.model["ndcg_at_10"], without)


def test_a_query_that_only_excluded_items_match_is_unanswerable():
    side = line([0, 0.1, 0.2], [0, 0, 1], label=[0, 0, 1], colour=["red", "red", "blue"])
    found = measure(side, side, ["colour"])
    assert (found.axes["colour"].scores.unanswerable, found.graded.unanswerable) == (3, 3)
    assert isinstance(found.axes["colour"], Axis)


def test_without_axes_graded_relevance_is_that_of_the_label():
    queries, gallery = SIDES["among themselves"]
    index = FaissIndex()
    index.build(gallery.embedded.embeddings)
    label = evaluate.score(index, queries.embedded, gallery.embedded)
    found = measure(queries, gallery, [])
    assert found.axes == {}
    np.testing.assert_allclose(found.graded.model["ndcg_at_10"], label.model["ndcg_at_10"])
    np.testing.assert_allclose(found.graded.chance["ndcg_at_10"], label.chance["ndcg_at_10"])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["a", "b", None, "a", ""], dtype=object),
        pd.Series(["a", "b", None, "a", "  "]),
        pd.Series([1.5, 2.0, np.nan, 1.5, np.nan]),
        pd.Series([True, False, pd.NA, True, pd.NA], dtype="boolean"),
        pd.Series(["a", "b", None, "a", None], dtype="category"),
    ],
    ids=["object", "text", "number", "boolean", "category"],
)
def test_columns_of_any_type(column):
    items = pd.DataFrame({"label": 0, "axis": column})
    codes = attributes(items.iloc[:3], items.iloc[3:], ["axis"])
    assert codes.names == ("label", "axis")
    first, second, missing = codes.queries[:, 1]
    assert first != second
    assert missing == -1
    assert codes.gallery[:, 1].tolist() == [first, -1]
