import numpy as np
import pytest

from vsearch.reports.intervals import Interval, chart, ticks


def pixels(picture, colour: tuple[int, int, int]) -> np.ndarray:
    """Positions (row, column) of a colour."""
    return np.argwhere((np.asarray(picture) == colour).all(axis=2))


def test_dots_and_intervals_lie_on_one_axis_in_their_rows():
    rows = [Interval("", 0.2, 0.1, 0.4, "#ff0000"), Interval("", 0.6, 0.5, 0.7, "#0000ff")]
    picture = chart("", rows)
    red, blue = pixels(picture, (255, 0, 0)), pixels(picture, (0, 0, 255))
    assert red[:, 0].max() < blue[:, 0].min()
    (red_left, red_right), (blue_left, blue_right) = (
        (found[:, 1].min(), found[:, 1].max()) for found in (red, blue)
    )
    unit = (blue_left - red_left) / 0.4  # pixels for 1
    assert red_right - red_left == pytest.approx(0.3 * unit, abs=2)
    assert blue_right - blue_left == pytest.approx(0.2 * unit, abs=2)
    for found, place in ((red, 0.1), (blue, 0.1)):
        tallest = np.bincount(found[:, 1]).argmax()
        assert tallest - found[:, 1].min() == pytest.approx(place * unit, abs=10)  # the dot


def test_a_name_stands_left_in_its_colour_and_a_long_one_leaves_room():
    named, nameless = (
        pixels(chart("t", [Interval(name, 0.5, 0.4, 0.6, "#ff0000")]), (255, 0, 0))[:, 1]
        for name in ("x" * 300, "")
    )
    assert nameless.min() > 60 > named.min()
    assert nameless.max() == named.max()


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.12, 0.58, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.031, 0.02, [-0.04, -0.03, -0.02, -0.01, 0.0, 0.01, 0.02]),
    ],
)
def test_ticks_are_round_and_around_the_range(low, high, wanted):
    assert ticks(low, high) == pytest.approx(wanted)


@pytest.mark.parametrize("value", [0.0, 0.5, 0.777, 1.0])
def test_a_range_of_width_zero_has_ticks(value):
    found = ticks(value, value)
    assert found[0] <= value <= found[-1]
    assert len(found) > 1
