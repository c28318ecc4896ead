from collections.abc import Callable
from dataclasses import astuple
from itertools import combinations, permutations
from math import log2

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import ndcg_score

from vsearch.evaluation import metrics
from vsearch.evaluation.metrics import (
    chance,
    means,
    per_query,
    single_query_labels,
    summarise,
    which_mean,
)

NAMES = {
    *("precision_at_1", "precision_at_5", "precision_at_10", "cmc_at_5", "cmc_at_10"),
    *("recall_at_10", "map_at_r", "r_precision", "ndcg_at_10"),
}


def naive(row: list[bool], r: int) -> dict[str, float]:
    """Score one query with plain loops, straight from the definitions."""
    row = [bool(hit) for hit in row] + [False] * max(10, r)
    scores = {f"precision_at_{k}": sum(row[:k]) / k for k in (1, 5, 10)}
    scores |= {f"cmc_at_{k}": float(any(row[:k])) for k in (5, 10)}
    scores |= {"recall_at_10": sum(row[:10]) / r, "r_precision": sum(row[:r]) / r, "map_at_r": 0.0}
    for i in range(1, r + 1):
        if row[i - 1]:
            scores["map_at_r"] += sum(row[:i]) / i / r
    gain = sum(1 / log2(1 + i) for i in range(1, 11) if row[i - 1])
    scores["ndcg_at_10"] = gain / sum(1 / log2(1 + i) for i in range(1, min(10, r) + 1))
    return scores


def random_rankings(n_queries: int, n_gallery: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n_relevant = rng.integers(1, n_gallery + 1, n_queries)
    relevant = np.arange(n_gallery) < n_relevant[:, None]
    return rng.permuted(relevant, axis=1), n_relevant


def score(row: list[int], r: int) -> dict[str, float]:
    return {
        name: float(value[0])
        for name, value in per_query(np.array([row], bool), np.array([r])).items()
    }


@pytest.mark.parametrize("n_gallery", [1, 2, 7, 10, 35])
@pytest.mark.parametrize("depth", [1, 10, 35])
def test_per_query_is_what_plain_loops_give(n_gallery: int, depth: int) -> None:
    relevant, n_relevant = random_rankings(60, n_gallery)
    relevant = relevant[:, :depth]
    found = per_query(relevant, n_relevant)
    expected = [
        naive(row, r) for row, r in zip(relevant.tolist(), n_relevant.tolist(), strict=True)
    ]
    assert set(found) == NAMES
    for name, value in found.items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(
            value, [scores[name] for scores in expected], rtol=1e-12, err_msg=name
        )


def test_per_query_by_hand() -> None:
    # Hits at ranks 2, 3 and 6; four are relevant, one is not among the ten.
    found = score([0, 1, 1, 0, 0, 1, 0, 0, 0, 0], r=4)
    assert found == pytest.approx(
        {
            "precision_at_1": 0.0,
            "precision_at_5": 0.4,
            "precision_at_10": 0.3,
            "cmc_at_5": 1.0,
            "cmc_at_10": 1.0,
            "recall_at_10": 0.75,
            "map_at_r": (1 / 2 + 2 / 3) / 4,
            "r_precision": 0.5,
            "ndcg_at_10": (0.6309298 + 0.5 + 0.3562072) / (1 + 0.6309298 + 0.5 + 0.4306766),
        }
    )


def test_cmc_tells_the_ranks_5_6_10_and_11_apart() -> None:
    rows = np.eye(12, dtype=bool)[[4, 5, 9, 10]]
    found = per_query(rows, np.ones(4, int))
    assert found["cmc_at_5"].tolist() == [1, 0, 0, 0]
    assert found["cmc_at_10"].tolist() == [1, 1, 1, 0]
    assert found["recall_at_10"].tolist() == [1, 1, 1, 0]


def test_all_relevant_scores_one_except_where_the_gallery_is_too_small() -> None:
    assert set(score([1] * 12, r=12).values()) == {1.0, 10 / 12}
    one_item = score([1], r=1)
    assert (one_item.pop("precision_at_5"), one_item.pop("precision_at_10")) == (0.2, 0.1)
    assert set(one_item.values()) == {1.0}


def test_no_hit_within_the_depth_scores_zero() -> None:
    assert set(score([0] * 10, r=3).values()) == {0.0}
    assert set(score([], r=3).values()) == {0.0}


def test_no_queries_give_empty_arrays() -> None:
    none = np.zeros(0, int)
    assert {value.shape for value in per_query(np.zeros((0, 10), bool), none).values()} == {(0,)}
    assert {value.shape for value in chance(none, 10).values()} == {(0,)}


def test_per_query_leaves_its_input_alone_and_takes_zeros_and_ones() -> None:
    relevant, n_relevant = random_rankings(20, 15)
    before = relevant.copy()
    found = per_query(relevant, n_relevant)
    np.testing.assert_array_equal(relevant, before)
    for name, value in per_query(relevant.astype(np.int8), n_relevant.astype(np.int32)).items():
        np.testing.assert_array_equal(value, found[name])


@pytest.mark.parametrize("avg_of_avgs", [False, True])
def test_agrees_with_pytorch_metric_learning(avg_of_avgs: bool) -> None:
    rng = np.random.default_rng(1)
    labels, gallery_labels = rng.integers(0, 6, 80), rng.integers(0, 6, 150)
    centres = rng.normal(size=(6, 8))
    queries, gallery = (
        centres[labels] + rng.normal(size=(80, 8)),
        centres[gallery_labels] + rng.normal(size=(150, 8)),
    )
    names = {
        "precision_at_1": "precision_at_1",
        "mean_average_precision_at_r": "map_at_r",
        "r_precision": "r_precision",
    }
    calculator = AccuracyCalculator(
        include=tuple(names), avg_of_avgs=avg_of_avgs, k="max_bin_count", device=torch.device("cpu")
    )
    expected = calculator.get_accuracy(queries, labels, gallery, gallery_labels)

    ranking = np.argsort(((queries[:, None] - gallery) ** 2).sum(-1), axis=1)
    values = per_query(
        gallery_labels[ranking] == labels[:, None], np.bincount(gallery_labels)[labels]
    )
    found = means(values, labels)
    for theirs, ours in names.items():
        assert 0.2 < expected[theirs] < 1
        assert found[ours]["macro" if avg_of_avgs else "micro"] == pytest.approx(
            expected[theirs], abs=1e-9
        )


def test_ndcg_agrees_with_scikit_learn() -> None:
    relevant, n_relevant = random_rankings(50, 25)
    scores = -np.arange(25.0)
    expected = [ndcg_score([row], [scores], k=10) for row in relevant.astype(int)]
    np.testing.assert_allclose(per_query(relevant, n_relevant)["ndcg_at_10"], expected)


@pytest.mark.parametrize(
    ("n", "r"), [(1, 1), (2, 1), (6, 2), (6, 6), (11, 10), (13, 1), (13, 5), (14, 12)]
)
def test_chance_is_the_mean_over_all_rankings(n: int, r: int) -> None:
    places = np.array(
        list(combinations(range(n), r))
    )  # equally likely: each stands for r! (n - r)! permutations
    relevant = np.zeros((len(places), n), bool)
    np.put_along_axis(relevant, places, True, axis=1)
    every = per_query(relevant, np.full(len(places), r))
    expected = chance(np.array([r]), n)
    assert expected.keys() == every.keys()
    for name, value in every.items():
        assert expected[name][0] == pytest.approx(value.mean(), rel=1e-12), name


def test_chance_is_the_mean_over_all_permutations() -> None:
    relevant = np.array(list(permutations([True, True, True, False, False, False, False])))
    expected = chance(np.array([3]), 7)
    for name, value in per_query(relevant, np.full(len(relevant), 3)).items():
        assert expected[name][0] == pytest.approx(value.mean(), rel=1e-9), name


@pytest.mark.parametrize("r", [1, 4, 15, 33])
def test_chance_agrees_with_random_rankings(r: int) -> None:
    rng = np.random.default_rng(r)
    relevant = rng.permuted(np.tile(np.arange(40) < r, (4000, 1)), axis=1)
    expected = chance(np.array([r]), 40)
    slack = 1 / 4000  # an event too rare to be seen once has no standard error
    for name, value in per_query(relevant, np.full(4000, r)).items():
        assert abs(value.mean() - expected[name][0]) <= 4.5 * value.std() / np.sqrt(4000) + slack, (
            name
        )


def test_chance_by_hand() -> None:
    found = chance(np.array([2, 1]), np.array([4, 20]))
    np.testing.assert_allclose(found["precision_at_1"], [0.5, 0.05])
    np.testing.assert_allclose(found["precision_at_10"], [0.2, 0.05])
    np.testing.assert_allclose(found["cmc_at_5"], [1, 0.25])
    np.testing.assert_allclose(found["recall_at_10"], [1, 0.5])
    # N = 4, R = 2: of six placements {1,2} scores 1, {1,3} and {1,4} 1/2, {2,3} and {2,4} 1/4,
    # {3,4} 0.
    np.testing.assert_allclose(found["map_at_r"], [2.5 / 6, 0.05])


def test_chance_stays_finite_and_in_range_for_a_large_gallery() -> None:
    for name, value in chance(np.array([1, 1000, 10_000_000]), 10_000_000).items():
        assert np.all((value > 0) & (value <= 1 + 1e-9)), name


@pytest.mark.parametrize(
    "refused", [lambda r: per_query(np.zeros((4, 10), bool), r), lambda r: chance(r, 10)]
)
def test_queries_without_relevant_items_are_refused(
    refused: Callable[[np.ndarray], object],
) -> None:
    with pytest.raises(
        ValueError,
        match=r"2 of 4 queries have nothing relevant.*first: query 1.*Leave them out first",
    ):
        refused(np.array([3, 0, 1, 0]))


def test_counts_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 queries have more hits than n_relevant"):
        per_query(np.ones((2, 3), bool), np.array([3, 2]))
    with pytest.raises(ValueError, match="1 of 2 queries have more relevant items than there are"):
        chance(np.array([3, 6]), 5)
    with pytest.raises(ValueError, match=r"n_relevant is \(3,\)"):
        per_query(np.ones((2, 3), bool), np.array([3, 3, 3]))


def test_means_by_hand() -> None:
    labels = np.array(["bag", "shoe", "bag", "bag"], dtype=object)
    found = means({"cmc_at_5": np.array([1.0, 0.0, 1.0, 0.4])}, labels)
    assert found["cmc_at_5"] == pytest.approx({"micro": 0.6, "macro": 0.4})


@pytest.mark.parametrize(("n_values", "n_labels"), [(0, 0), (3, 2)])
def test_means_refuse_no_queries_and_unequal_lengths(n_values: int, n_labels: int) -> None:
    with pytest.raises(ValueError, match=f"map_at_r: {n_values} values for {n_labels} labels"):
        means({"map_at_r": np.ones(n_values)}, np.zeros(n_labels))


def imbalanced(n: int = 300, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return two metrics of queries whose labels differ in size and in how well they are found."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["bag", "hat", "shoe"], n, p=[0.7, 0.2, 0.1])
    rate = np.select([labels == "bag", labels == "hat"], [0.9, 0.5], 0.3)
    return {
        "cmc_at_5": (rng.random(n) < rate).astype(float),
        "map_at_r": rng.random(n) * rate,
    }, labels


def test_summarise_agrees_with_a_plain_bootstrap() -> None:
    values, labels = imbalanced()
    found, rng = summarise(values, labels, resamples=2000), np.random.default_rng(7)
    for name, value in values.items():
        groups = [value[labels == label] for label in np.unique(labels)]
        micro = [rng.choice(value, len(value)).mean() for _ in range(2000)]
        macro = [
            np.mean([rng.choice(group, len(group)).mean() for group in groups]) for _ in range(2000)
        ]
        for mean, sample in (("micro", micro), ("macro", macro)):
            estimate = found[name][mean]
            expected = np.quantile(sample, [0.025, 0.975])
            # An end's standard error is about 0.06 of the resamples' deviation; two such ends are
            # compared.
            np.testing.assert_allclose(
                [estimate.low, estimate.high], expected, atol=0.3 * np.std(sample)
            )


def test_summarise_holds_the_means_within_their_intervals() -> None:
    values, labels = imbalanced()
    point, found = means(values, labels), summarise(values, labels, resamples=200)
    assert point.keys() == found.keys()
    for name in values:
        for mean in ("micro", "macro"):
            assert found[name][mean].value == point[name][mean]
            assert found[name][mean].low < found[name][mean].value < found[name][mean].high


def test_intervals_follow_the_seed_and_only_the_seed() -> None:
    values, labels = imbalanced()
    assert summarise(values, labels, 100, seed=3) == summarise(values, labels, 100, seed=3)
    assert summarise(values, labels, 100, seed=3) != summarise(values, labels, 100, seed=4)


@pytest.mark.parametrize("block", [1, 1000, 10**9])
def test_intervals_do_not_depend_on_the_block_size(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, labels = imbalanced()
    before = summarise(values, labels, resamples=50)
    monkeypatch.setattr(metrics, "BLOCK", block)
    after = summarise(values, labels, resamples=50)
    for name in values:
        assert astuple(after[name]["macro"]) == pytest.approx(
            astuple(before[name]["macro"]), abs=1e-12
        )


def test_interval_narrows_with_the_root_of_the_number_of_queries() -> None:
    widths = []
    for n in (500, 8000):
        values, labels = imbalanced(n)
        estimate = summarise(values, labels, resamples=500)["cmc_at_5"]["micro"]
        widths.append(estimate.high - estimate.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.2)


def hits(rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(rates)) < rates).astype(float)


@pytest.mark.parametrize("mean", ["micro", "macro"])
def test_interval_holds_the_truth_about_95_times_of_100(mean: str) -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [150, 60, 40])
    rates = np.array([0.2, 0.5, 0.7])
    truth = rates[labels].mean() if mean == "micro" else rates.mean()
    held = 0
    for seed in range(40):  # each measures ten sets of queries, as if they were metrics
        values = {}
        for trial in range(10):
            queries = labels if mean == "macro" else rng.choice(labels, len(labels))
            values[f"cmc_at_5 {trial}"] = hits(rates[queries], rng)
        for estimates in summarise(values, labels, resamples=300, seed=seed).values():
            held += estimates[mean].low <= truth <= estimates[mean].high
    assert 0.915 <= held / 400 <= 0.98


def test_macro_interval_holds_the_truth_with_two_to_five_queries_a_label() -> None:
    rng = np.random.default_rng(11)
    labels = np.repeat(np.arange(80), np.tile([2, 3, 4, 5], 20))
    rates = rng.uniform(0.2, 0.9, 80)
    held = 0
    for seed in range(60):
        values = {f"cmc_at_5 {trial}": hits(rates[labels], rng) for trial in range(10)}
        for estimates in summarise(values, labels, resamples=400, seed=seed).values():
            held += estimates["macro"].low <= rates.mean() <= estimates["macro"].high
    assert 0.92 <= held / 600 <= 0.975  # with n draws a label, not n - 1, it would be about 0.88


def test_the_spread_of_a_label_is_that_of_its_queries_without_bias() -> None:
    labels, values = (
        np.array(["bag", "bag", "hat", "hat", "hat"]),
        np.array([0.0, 1.0, 0.2, 0.6, 0.7]),
    )
    error = (values[:2].var(ddof=1) / 2 + values[2:].var(ddof=1) / 3) ** 0.5 / 2
    shifts = metrics.bootstrap({"map_at_r": values}, labels, 20_000, seed=0)["macro"]
    assert shifts.std() == pytest.approx(error, rel=0.03)


def test_a_resampled_mean_stays_in_the_metrics_range() -> None:
    labels, values = np.arange(40) // 2, np.tile([1.0, 0.0], 20)
    values[2:] = 1
    estimate = summarise({"cmc_at_5": values}, labels)["cmc_at_5"]["macro"]
    assert estimate.low < estimate.value < estimate.high <= 1


def test_labels_of_one_query_are_counted() -> None:
    assert single_query_labels(np.array(["bag", "hat", "hat", "shoe"])) == 2
    assert single_query_labels(np.zeros(3)) == 0


@pytest.mark.parametrize(
    ("name", "parts"),
    [("map_at_r_macro", ("map_at_r", "macro")), ("map_at_r", ("map_at_r", "micro"))],
)
def test_a_name_says_which_mean(name: str, parts: tuple[str, str]) -> None:
    assert which_mean(name) == parts


def test_one_label_has_the_same_macro_as_micro() -> None:
    values, _ = imbalanced()
    for found in summarise(values, np.zeros(300), resamples=100).values():
        assert astuple(found["macro"]) == pytest.approx(astuple(found["micro"]), abs=1e-12)


def test_macro_keeps_a_label_of_one_query_in_every_resample() -> None:
    values, labels = {"cmc_at_5": np.array([1.0] * 9 + [0.0])}, np.array(["bag"] * 9 + ["hat"])
    found = summarise(values, labels, resamples=100)["cmc_at_5"]
    assert astuple(found["macro"]) == pytest.approx((0.5, 0.5, 0.5))
    assert found["micro"].low < 0.9 < found["micro"].high


def test_equal_values_have_an_interval_of_no_width() -> None:
    labels = np.arange(60) % 7
    for found in summarise(
        {"one": np.ones(60), "zero": np.zeros(60)}, labels, resamples=20
    ).values():
        assert all(estimate.low == estimate.value == estimate.high for estimate in found.values())
    assert astuple(summarise({"one": np.ones(1)}, np.array(["bag"]))["one"]["micro"]) == (1, 1, 1)
