from io import StringIO
from pathlib import Path

from rich.console import Console

from vsearch.reports.closing import closing, show_closing


def test_the_numbers_that_matter_and_what_to_type_next(report):
    lines = closing(report, Path("run/bundle")).splitlines()
    assert lines[0] == "precision@1 0.900 [0.800, 0.950] (untrained 0.500, chance 0.321)"
    assert lines[1] == "MAP@R 0.700 [0.600, 0.750] (untrained 0.300, chance 0.123)"
    assert lines[2] == "index: HNSW32, recall@10 0.9876 of exact search"
    assert "Search: python -m vsearch search run/bundle PHOTO -k 10" in lines


def test_without_a_baseline_nothing_stands_beside(report):
    del report["metrics"]["untrained"]
    assert "untrained" not in closing(report, Path("bundle"))


def test_brackets_are_no_markup(report):
    out = StringIO()
    show_closing(report, Path("run[1]/bundle"), Console(file=out, width=100))
    assert "run[1]/bundle" in out.getvalue()
    assert "[0.800, 0.950]" in out.getvalue()
