from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def drawn() -> Iterator[None]:
    """A time in which fits draw what they draw outside of tests."""
    from vsearch.reports.grid import example_grid
    from vsearch.reports.html.report import report_file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callbacks.build_index.example_grid", example_grid)
        patch.setattr("vsearch.reports.fit_report.report_file", report_file)
        yield
