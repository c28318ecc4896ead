from dataclasses import replace

import numpy as np
import pytest
from made_up_report import candidate
from PIL import ImageColor

from vsearch.evaluation.run_report import Candidate
from vsearch.indexes.choice import Loss
from vsearch.reports.frontier import CHOSEN, OTHER, OUT, axis_titles, frontier, line, log_ticks


def row(spec: str, recall: float, ms: float, **said: bool) -> Candidate:
    return Candidate(**candidate(spec, recall, ms, **{"pareto": False, **said}))


def centre(picture, colour: str) -> tuple[float, float]:
    """The middle (x, y) of a colour's pixels, below the legend."""
    found = np.argwhere((np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=2))
    found = found[(found[:, 0] > 100) & (found[:, 0] < 800)]
    return float(found[:, 1].mean()), float(found[:, 0].mean())


def test_dots_lie_by_recall_and_the_logarithm_of_time():
    rows = [row("", 1.0, 10, chosen=True), row("", 0.9, 1), row("", 0.8, 0.1, within_budget=False)]
    picture = frontier(rows)
    (x1, y1), (x2, y2), (x3, y3) = (centre(picture, colour) for colour in (CHOSEN, OTHER, OUT))
    assert x1 - x2 == pytest.approx(x2 - x3, abs=2) != 0
    assert y3 - y2 == pytest.approx(y2 - y1, abs=2)
    assert x1 > x3
    assert y1 < y3


def test_the_line_joins_those_that_none_beats():
    rows = [row("", 1.0, 10), row("", 0.8, 0.1)]
    plain = np.asarray(frontier(rows)).astype(int)
    joined = np.asarray(frontier([replace(one, pareto=True) for one in rows])).astype(int)
    changed = np.argwhere(np.abs(plain[120:780] - joined[120:780]).sum(axis=2) > 0)
    assert len(changed) > 500
    assert np.corrcoef(changed.T)[0, 1] < -0.99  # up to the right


@pytest.mark.parametrize("count", [1, 2, 30])
def test_each_on_the_line_has_a_number_and_a_name_below(count):
    rows = [
        row("HNSW32, efSearch=16" * 2, 1 - i / 50, 1.0, pareto=True, chosen=i == 0)
        for i in range(count)
    ]
    assert frontier(rows).height - frontier([row("", 1.0, 1.0)]).height == 30 * count


def test_the_chosen_has_a_name_even_if_a_tie_took_it_off_the_line():
    rows = [row("a", 1.0, 1.0, pareto=True), row("b", 1.0, 1.05, chosen=True)]
    assert frontier(rows).height - frontier(rows[:1]).height == 30


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.13, 4.0, [0.1, 0.2, 0.5, 1, 2, 5]),
        (0.5, 0.5, [0.5, 1]),
        (1, 10, [1, 2, 5, 10]),
        (1e-9, 2e-9, [1e-9, 2e-9]),
        (30, 31, [20, 50]),
    ],
)
def test_ticks_of_time(low, high, wanted):
    assert log_ticks(low, high) == pytest.approx(wanted)


def judged(spec: str, loss: float, mib: float, **said: bool) -> Candidate:
    lost = {"precision_at_1": Loss(loss, loss - 0.002, loss + 0.002)}
    return replace(row(spec, 0.5, 1.0, **said), losses=lost, memory_bytes=round(mib * 2**20))


def test_where_labels_decide_their_loss_is_drawn_with_its_interval():
    rows = [
        judged("", 0, 100, chosen=True),
        judged("", 0.01, 10),
        judged("", 0.02, 1, within_budget=False),
    ]
    picture = frontier(rows, "memory")
    (x1, y1), (x2, y2), (x3, y3) = (centre(picture, colour) for colour in (CHOSEN, OTHER, OUT))
    assert x1 - x2 == pytest.approx(x2 - x3, abs=2) != 0
    assert y3 - y2 == pytest.approx(y2 - y1, abs=2)
    assert y1 < y3
    coloured = (np.asarray(picture)[120:780] == ImageColor.getrgb(CHOSEN)).all(axis=2)
    assert np.flatnonzero(coloured.any(axis=1)).size > 40  # higher than a dot: the interval
    assert axis_titles(rows, "memory")[0] == "MiB in memory"
    assert line(rows[1]) == ": 0.5000, 1 ms, 10.0 MiB, -0.0100 [-0.0120, -0.0080]"
