import pytest
from test_runs import opened

from vsearch.evaluation.comparing.comparison import ComparisonError, compare
from vsearch.evaluation.comparing.gates import Verdict, judge


def verdicts(tmp_path, base, other, *limits) -> list[Verdict]:
    labels = ["a"] * 6 + ["b"] * 4
    runs = [
        opened(tmp_path / name, values, labels=labels)
        for name, values in (("one", base), ("two", other))
    ]
    return judge([compare(*runs)], limits)


FALL = ({"map_at_r": [0.8] * 10}, {"map_at_r": [0.79] * 10})


@pytest.mark.parametrize(
    ("allowed", "passed"), [(0.02, True), (0.01, True), (0.0099, False), (0.0, False)]
)
def test_a_fall_by_more_than_allowed_fails(tmp_path, allowed, passed):
    (verdict,) = verdicts(tmp_path, *FALL, ("map_at_r", allowed))
    assert verdict.passed == passed
    assert verdict.sure == ("excludes a larger fall" if passed else "lies wholly beyond it")


def test_a_rise_passes_everything(tmp_path):
    (verdict,) = verdicts(tmp_path, *FALL[::-1], ("map_at_r", 0.0))
    assert verdict.passed
    assert str(verdict) == (
        "passed: two: map_at_r +0.0100, may fall by 0; its 95 % interval [+0.0100, +0.0100] "
        "excludes a larger fall"
    )


def test_the_mean_decides_and_the_interval_is_told(tmp_path):
    base, other = [1.0] * 5 + [0.0] * 5, [1.0] * 3 + [0.0] * 6 + [1.0]
    (verdict,) = verdicts(tmp_path, {"map_at_r": base}, {"map_at_r": other}, ("map_at_r", 0.05))
    assert not verdict.passed
    assert str(verdict).startswith(
        "FAILED: two: map_at_r -0.1000, may fall by 0.05; its 95 % interval ["
    )
    assert str(verdict).endswith("] allows either")


def test_macro_is_chosen_by_the_names_end(tmp_path):
    other = [0.5] * 6 + [0.9] * 4  # label a falls by 0.3, b rises by 0.1: micro -0.14, macro -0.1
    limits = [("map_at_r", 0.12), ("map_at_r_macro", 0.12)]
    micro, macro = verdicts(tmp_path, {"map_at_r": [0.8] * 10}, {"map_at_r": other}, *limits)
    assert micro.change.difference.value == pytest.approx(-0.14)
    assert macro.change.difference.value == pytest.approx(-0.1)
    assert (micro.passed, macro.passed) == (False, True)


def test_an_unknown_metric_is_refused_with_those_that_are_known(tmp_path):
    base, other = (
        {"map_at_r": [1] * 10, "cmc_at_5": [1] * 10, "old": [1] * 10},
        {"map_at_r": [1] * 10, "cmc_at_5": [1] * 10},
    )
    for number, name in enumerate(("precision", "old", "precision_macro")):
        with pytest.raises(
            ComparisonError,
            match=r"no metric '.*' in common; they have map_at_r, cmc_at_5, each also",
        ):
            verdicts(tmp_path / str(number), base, other, (name, 0.1))
