from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from made_up_report import without
from rich.console import Console

from vsearch.reports.closing import numbers, show_closing


def test_the_numbers_that_matter(report):
    assert numbers(report).splitlines() == [
        "precision@1 0.900 [0.800, 0.950] (untrained 0.500, chance 0.321)",
        "MAP@R 0.700 [0.600, 0.750] (untrained 0.300, chance 0.123)",
        "index: HNSW32, recall@10 0.9876 of exact search",
    ]


def test_without_a_baseline_nothing_stands_beside(report):
    assert "untrained" not in numbers(without(report, "metrics", "untrained"))


@pytest.mark.parametrize(
    ("untrained", "title"),
    [(0.5, "Done"), (0.9, "Training didn't help"), (0.95, "Training didn't help")],
)
def test_the_title_says_whether_training_has_helped(report, untrained, title):
    metrics = report.metrics
    metric = metrics.untrained["precision_at_1"]
    before = replace(metric, micro=replace(metric.micro, value=untrained))
    metrics = replace(metrics, untrained={**metrics.untrained, "precision_at_1": before})
    out = StringIO()
    show_closing(
        replace(report, metrics=metrics), Path("bundle"), console=Console(file=out, width=90)
    )
    assert title in out.getvalue().splitlines()[0]


def test_commands_are_not_broken_and_brackets_are_no_markup(report):
    out, bundle = StringIO(), Path("a" * 90, "run[1]", "bundle")
    show_closing(report, bundle, ["mine", "more"], Console(file=out, width=70))
    assert (
        f"Search: python -m vsearch search {bundle} PHOTO -k 10 --plugins mine,more\n"
        in out.getvalue()
    )
    assert f"serve {bundle} --plugins mine,more\n" in out.getvalue()
    assert "[0.800, 0.950]" in out.getvalue()
