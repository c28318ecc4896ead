from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from vsearch.evaluation.comparing.paired_bootstrap import (
    Difference,
    _interval,
    _p_value,
    paired_bootstrap,
)
from vsearch.evaluation.metrics import means


def hits(rate: float, n: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < rate).astype(float)


def naive(
    change: np.ndarray, labels: np.ndarray, resamples: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Low, high and p by plain loops over resamples, with draws of its own."""
    rng = np.random.default_rng(seed)
    groups = [change[labels == label] for label in np.unique(labels)]
    draws: dict[str, Callable[[], float]] = {
        "micro": lambda: np.mean(
            [change[i] for i in rng.integers(len(change), size=len(change) - 1)]
        ),
        "macro": lambda: np.mean([rng.choice(group, len(group) - 1).mean() for group in groups]),
    }
    found = {}
    for name, draw in draws.items():
        drawn = [draw() for _ in range(resamples)]
        below = sum(one <= 1e-12 for one in drawn)
        above = sum(one >= -1e-12 for one in drawn)
        p_value = min(1.0, 2 * (1 + min(below, above)) / (1 + resamples))
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[name] = (low, high, p_value)
    return found


@pytest.mark.parametrize("shift", [0.0, 0.05, -0.12])
def test_paired_agrees_with_a_plain_loop(shift):
    rng = np.random.default_rng(4)
    labels = np.array(["bag"] * 60 + ["shoe"] * 30 + ["hat"] * 10)
    base = {"cmc_at_5": (rng.random(100) < 0.6).astype(float), "map_at_r": rng.random(100)}
    values = {"cmc_at_5": (rng.random(100) < 0.6 + shift).astype(float)}
    values["map_at_r"] = base["map_at_r"] + shift + 0.3 * rng.standard_normal(100)
    found = paired_bootstrap(values, base, labels, resamples=2000)
    for name, value in values.items():
        change = value - base[name]
        for mean, (low, high, p_value) in naive(change, labels, 2000, seed=9).items():
            one = found[name][mean]
            assert (one.low, one.high) == pytest.approx((low, high), abs=0.15 * (high - low))
            assert one.p_value == pytest.approx(p_value, abs=0.04 + 0.15 * p_value)


def test_the_values_are_differences_of_the_means():
    labels = np.arange(50) % 7
    values, base = {"map_at_r": hits(0.5, 50, 0)}, {"map_at_r": hits(0.7, 50, 1)}
    found = paired_bootstrap(values, base, labels, resamples=50)["map_at_r"]
    for mean in ("micro", "macro"):
        expected = means(values, labels)["map_at_r"][mean] - means(base, labels)["map_at_r"][mean]
        assert found[mean].value == pytest.approx(expected)


def test_by_hand():
    # Four queries, differences 1, 1, 0, 0: micro 0.5; label a has 1, 1, 0 and b 0: macro (2/3 + 0)
    # / 2.
    values, base = np.array([1.0, 1, 1, 0]), np.array([0.0, 0, 1, 0])
    found = paired_bootstrap({"m": values}, {"m": base}, np.array(list("aaab")), resamples=4000)[
        "m"
    ]
    assert found["micro"].value == 0.5
    assert found["macro"].value == pytest.approx(1 / 3)
    # Three of four are drawn; the mean is at most 0 when all of them are zeros: P = (1/2)^3.
    assert found["micro"].p_value == pytest.approx(2 / 8, abs=0.03)
    # Macro: both draws of label a are zeros, (1/3)^2, and b is always 0.
    assert found["macro"].p_value == pytest.approx(2 / 9, abs=0.03)
    assert (found["micro"].low, found["micro"].high) == (0, 1)
    assert (found["macro"].low, found["macro"].high) == pytest.approx((0, 0.5))


def test_identical_runs_do_not_differ():
    values = {"one": hits(0.3, 40, 0), "two": np.full(40, 0.7)}
    found = paired_bootstrap(
        values,
        {name: value.copy() for name, value in values.items()},
        np.arange(40) % 3,
        resamples=100,
    )
    for kinds in found.values():
        assert kinds == {"micro": Difference(0, 0, 0, 1), "macro": Difference(0, 0, 0, 1)}


def test_differences_that_cancel_out_have_p_near_1():
    change = np.tile([0.1, -0.1], 50)  # sums that are 0 but for rounding
    found = paired_bootstrap(
        {"m": 0.3 + change}, {"m": np.full(100, 0.3)}, np.zeros(100), resamples=500
    )["m"]["micro"]
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.p_value > 0.9


def test_swapping_the_runs_turns_the_sign():
    labels, one, two = np.arange(80) % 4, {"m": hits(0.5, 80, 0)}, {"m": hits(0.6, 80, 1)}
    there, back = paired_bootstrap(two, one, labels)["m"], paired_bootstrap(one, two, labels)["m"]
    for mean in ("micro", "macro"):
        assert back[mean].value == -there[mean].value
        assert (back[mean].low, back[mean].high) == pytest.approx(
            (-there[mean].high, -there[mean].low)
        )
        assert back[mean].p_value == there[mean].p_value


def test_an_obviously_better_run_is_found_and_p_is_never_0():
    labels, base = np.arange(200) % 5, hits(0.5, 200, 0)
    better = np.maximum(base, hits(0.3, 200, 1))
    for kind in paired_bootstrap({"m": better}, {"m": base}, labels)["m"].values():
        assert 0 < kind.p_value < 0.01
        assert 0 < kind.low < kind.value < kind.high


def test_pairing_finds_what_two_separate_intervals_would_not():
    difficulty = np.random.default_rng(0).random(200)
    change = paired_bootstrap({"m": difficulty + 0.01}, {"m": difficulty}, np.zeros(200))["m"][
        "micro"
    ]
    assert (change.low, change.high) == pytest.approx((0.01, 0.01))
    assert change.p_value < 0.01


@pytest.mark.parametrize("resamples", [40, 199, 200, 399, 400])
def test_p_is_below_5_percent_just_where_the_interval_leaves_out_0(resamples):
    outcomes = []
    for seed in range(60):
        values, base = {"m": hits(0.62, 120, seed)}, {"m": hits(0.5, 120, 1000 + seed)}
        for one in paired_bootstrap(values, base, np.arange(120) % 4, resamples)["m"].values():
            outcomes.append(one.low > 0 or one.high < 0)
            assert outcomes[-1] == (one.p_value < 0.05), one
    assert 10 < sum(outcomes) < len(outcomes) - 10


@pytest.mark.parametrize("resamples", [40, 79, 80, 1999, 2000, 2001])
def test_p_and_interval_agree_at_the_very_edge(resamples):
    for count in range(resamples // 20):  # so many resampled means at or below 0, the others above
        drawn = np.where(np.arange(resamples) < count, -1.0, 1.0)
        assert (_interval(drawn)[0] > 0) == (_p_value(drawn) < 0.05)
        assert (_interval(-drawn)[1] < 0) == (_p_value(-drawn) < 0.05)


def noise(n: int, spread: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Ten sets of queries, measured at once as if they were metrics."""
    return {f"m{trial}": spread * rng.standard_normal(n) for trial in range(10)}


@pytest.mark.parametrize("mean", ["micro", "macro"])
def test_without_a_difference_p_is_below_5_percent_about_5_times_of_100(mean):
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [100, 60, 40])
    found = 0
    for seed in range(60):
        difficulty = rng.random(200)
        values = {name: difficulty + own for name, own in noise(200, 0.2, rng).items()}
        base = {name: difficulty + own for name, own in noise(200, 0.2, rng).items()}
        for one in paired_bootstrap(values, base, labels, resamples=200, seed=seed).values():
            found += one[mean].p_value < 0.05
    assert 0.03 <= found / 600 <= 0.075


def test_few_queries_a_label_do_not_make_macro_too_sure():
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(40), np.tile([2, 3, 4, 5], 10))
    found = 0
    for seed in range(60):
        values = noise(len(labels), 1, rng)
        base = noise(len(labels), 1, rng)
        for one in paired_bootstrap(values, base, labels, resamples=200, seed=seed).values():
            found += one["macro"].p_value < 0.05
    assert 0.03 <= found / 600 <= 0.075


def test_one_seed_is_the_queries_alone():
    labels, values, base = np.arange(80) % 4, hits(0.6, 80, 0), hits(0.5, 80, 1)
    alone = paired_bootstrap({"m": values}, {"m": base}, labels)
    assert paired_bootstrap({"m": values[None]}, {"m": base[None]}, labels) == alone


@pytest.mark.parametrize("n_seeds", [2, 3, 10])
def test_seeds_alone_are_students_t(n_seeds):
    by_seed = np.random.default_rng(n_seeds).normal(0.02, 0.02, n_seeds)
    values = {"m": np.tile(by_seed[:, None], (1, 30))}  # all queries agree
    expected = ttest_1samp(by_seed, 0)
    low, high = expected.confidence_interval()
    for one in paired_bootstrap(
        values, {"m": np.zeros((n_seeds, 30))}, np.arange(30) % 3, resamples=4000
    )["m"].values():
        assert one.value == pytest.approx(by_seed.mean())
        assert (one.low, one.high) == pytest.approx((low, high), abs=0.02 * (high - low))
        assert one.p_value == pytest.approx(expected.pvalue, abs=0.002)


def test_queries_and_seeds_add_up():
    rng, labels = np.random.default_rng(1), np.zeros(200)
    queries, seeds = (
        rng.normal(0, 0.3, 200),
        rng.normal(0, 0.02, (40, 1)),
    )  # so many that t is about normal
    change = 0.1 + queries - queries.mean() + seeds - seeds.mean()
    one = paired_bootstrap({"m": change}, {"m": np.zeros_like(change)}, labels, resamples=4000)[
        "m"
    ]["micro"]
    error = (0.3**2 / 200 + 0.02**2 / 40) ** 0.5
    assert one.value == pytest.approx(0.1)
    assert (one.high - one.low) / (2 * 1.96) == pytest.approx(error, rel=0.12)


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_what_only_seeds_make_is_found_about_5_times_of_100(n_seeds):
    rng = np.random.default_rng(7)
    labels = np.arange(60) % 3
    found = 0
    blind = 0
    for seed in range(40):
        values = {}
        for trial in range(10):
            by_seed = rng.normal(0, 0.05, (n_seeds, 1))
            values[f"m{trial}"] = by_seed + rng.normal(0, 0.05, (n_seeds, 60))
        nothing = {name: 0 * value for name, value in values.items()}
        for one in paired_bootstrap(values, nothing, labels, 200, seed).values():
            found += one["micro"].p_value < 0.05

        averages = {name: value.mean(0) for name, value in values.items()}
        nothing = {name: 0 * value for name, value in averages.items()}
        for one in paired_bootstrap(averages, nothing, labels, 200, seed).values():
            blind += one["micro"].p_value < 0.05
    assert 0.02 <= found / 400 <= 0.08
    assert blind / 400 > 0.5  # had the seeds been averaged and forgotten


def test_the_seed_decides_and_only_the_seed():
    values, base, labels = {"m": hits(0.5, 60, 0)}, {"m": hits(0.5, 60, 1)}, np.arange(60) % 3
    assert paired_bootstrap(values, base, labels, 100, seed=3) == paired_bootstrap(
        values, base, labels, 100, seed=3
    )
    assert paired_bootstrap(values, base, labels, 100, seed=3) != paired_bootstrap(
        values, base, labels, 100, seed=4
    )


def test_what_is_not_paired_is_refused():
    with pytest.raises(ValueError, match=r"one run has the metrics \['a'\], the other \['b'\]"):
        paired_bootstrap({"a": np.ones(2)}, {"b": np.ones(2)}, np.zeros(2))
    with pytest.raises(ValueError, match=r"a: values \(2,\) against \(3,\): not the same queries"):
        paired_bootstrap({"a": np.ones(2)}, {"a": np.ones(3)}, np.zeros(2))
    with pytest.raises(ValueError, match="0 values for 0 labels"):
        paired_bootstrap({"a": np.ones(0)}, {"a": np.ones(0)}, np.zeros(0))
