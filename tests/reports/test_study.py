import io
import json
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from vsearch.reports.study import markdown, show, study_files, tables, verdict

METRIC = {"sd": 0.0123, "untrained": 0.2}
COST = {
    "trained_parameters": 15e6,
    "epoch_s": 12.34,
    "embed_photos_per_s": 345.6,
    "bytes_per_vector": 8192.0,
}


def cell(
    name: str, value: float | None, difference: dict[str, float] | None = None, **more: Any
) -> dict[str, Any]:
    """A cell of `ranking.rank`'s result; without a value, one that failed."""
    done = value is not None
    kinds = {
        "micro": {**METRIC, "mean": value},
        "macro": {**METRIC, "mean": 0.6, "sd": None, "untrained": None},
    }
    return {
        "cell": name,
        "seeds": [0, 1] if done else [],
        "failed": [],
        "origins": ["random"] if done else [],
        "metrics": {"precision_at_1": kinds, "map_at_r": kinds} if done else {},
        "estimate": {"value": value, "low": value - 0.01, "high": value + 0.01} if done else None,
        "cost": {**COST, "best_epoch": 2.5} if done else {},
        "difference": difference,
        "differences": {},
        **more,
    }


def found(
    value: float, low: float, high: float, p_value: float, holm_p_value: float
) -> dict[str, float]:
    p_values = {"p_value": p_value, "holm_p_value": holm_p_value}
    return {"value": value, "low": low, "high": high, "seeds": 2, **p_values}


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "name": "loss",
        "question": "Which loss?\nThe claim.",
        "baseline": "triplet",
        "rank_by": "map_at_r",
        "monitor": "val/map_at_r",
        "seeds": [0, 1],
        "queries": 1234,
        "labels": 20,
        "single_query_labels": 0,
        "synthetic": True,
        "cells": [
            cell("arc [face]", 0.7, found(0.2, 0.1, 0.3, 0.001, 0.004)),
            cell("fine", 0.52, found(0.02, 0.001, 0.04, 0.03, 0.09)),
            cell("same", 0.51, found(0.01, -0.01, 0.03, 0.3, 0.3)),
            cell("triplet", 0.5),
            cell("worse", 0.4, found(-0.1, -0.2, -0.05, 0.001, 0.004), failed=[1], seeds=[0]),
            cell("broken", None, failed=[0, 1]),
            cell("waiting", None),
        ],
    }


def test_verdicts_follow_the_interval_then_holm(result):
    assert [verdict(result, one) for one in result["cells"]] == [
        "better",
        "better, but not after Holm's correction",
        "no difference shown",
        "baseline",
        "worse",
        "-",
        "-",
    ]


@pytest.mark.parametrize("value", [0.2, -0.2])
def test_one_seed_gives_no_verdict(result, value):
    one = cell("x", 0.5, {**found(value, value - 0.01, value + 0.01, 0.001, 0.004), "seeds": 1})
    word = "better" if value > 0 else "worse"
    assert verdict(result, one) == f"{word} with this seed only"


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (-0.1, 0.0), (0.0, 0.0)])
def test_an_interval_that_touches_zero_shows_no_difference(result, low, high):
    one = cell("x", 0.5, found(0.05, low, high, 0.01, 0.01))
    assert verdict(result, one) == "no difference shown"


def test_the_ranking_has_difference_interval_and_both_p_values(result):
    table = tables(result)["Ranking"]
    assert table.header[4] == "difference from triplet"
    assert table.rows[0] == [
        "1",
        "arc [face]",
        "2 of 2",
        "0.700 ± 0.012",
        "+0.200 [+0.100, +0.300]",
        "0.0010",
        "0.0040",
        "better",
    ]
    assert table.rows[3] == ["4", "triplet", "2 of 2", "0.500 ± 0.012", "-", "-", "-", "baseline"]
    assert table.rows[4][2] == "1 of 2, failed: 1"
    assert table.rows[5] == ["-", "broken", "0 of 2, failed: 0, 1", "-", "-", "-", "-", "-"]
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_a_macro_metric_ranks_by_its_own_mean(result):
    table = tables({**result, "rank_by": "map_at_r_macro"})["Ranking"]
    assert (table.header[3], table.rows[0][3]) == ("MAP@R, macro ± spread", "0.600 ± -")


def test_metrics_have_spread_and_untrained_beside_and_a_dash_for_what_is_unknown(result):
    table = tables(result)["Metrics"]
    assert table.header[1:] == [
        *("precision@1 ± spread", "untrained", "MAP@R ± spread", "untrained"),
        *("precision@1, macro ± spread", "untrained"),
    ]
    assert table.rows[0] == ["arc [face]", *["0.700 ± 0.012", "0.200"] * 2, "0.600 ± -", "-"]
    assert table.rows[5] == ["broken", *["-"] * 6]


def test_costs_have_their_units(result):
    table = tables(result)["Cost"]
    assert table.rows[0] == ["arc [face]", "random", "15,000,000", "2.5", "12.3", "346", "8,192"]
    assert table.rows[6] == ["waiting", *["-"] * 6]
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_the_markdown_says_what_was_asked_and_how_it_was_compared(result):
    text = markdown(result)
    for part in (
        "# Study: loss",
        "Which loss?",
        "1,234 queries",
        "SYNTHETIC",
        "seeds 0, 1",
        "number of compared cells (4)",
        "Best epoch of each cell: by val/map_at_r.",
        "choosing a cell by them is optimistic",
        "One seed says nothing about others",
        "which favours it",
    ):
        assert part in text
    assert "shows no difference" in text
    assert "| 3 | same |" in text
    assert "too narrow" not in text
    assert "single query" not in text
    result.update(synthetic=False, queries=29, single_query_labels=7, monitor=None)
    assert "SYNTHETIC" not in markdown(result)
    assert (
        "7 of 20 labels have a single query, which adds nothing to a macro interval."
        in markdown(result)
    )
    assert "Best epoch of each cell: by its own callbacks" in markdown(result)
    assert "So few queries make the intervals too narrow" in markdown(result)


def test_the_files(result):
    files = study_files(result)
    assert set(files) == {"study.md", "study.json", "study.png"}
    assert json.loads(files["study.json"]) == result
    assert Image.open(io.BytesIO(files["study.png"])).height > 100


def test_before_the_first_run_there_is_no_picture(result):
    result["cells"] = result["cells"][-2:]
    files = study_files(result)
    assert set(files) == {"study.md", "study.json"}
    assert b"study.png" not in files["study.md"]


def test_the_terminal_shows_the_tables_with_names_as_they_are(result):
    console = Console(file=io.StringIO(), width=250, markup=False)
    show(result, console)
    text = console.file.getvalue()
    for part in ("arc [face]", "no difference shown", "Ranking", "Metrics", "Cost", "15,000,000"):
        assert part in text
    flat = " ".join(text.split())
    for part in (
        "Spread: standard deviation over seeds.",
        "p: how easily",
        "two seeds",
        "is optimistic",
    ):
        assert part in flat
