from typing import Any

import pytest
from made_up_report import candidate, changed, estimate, made_up_report

from vsearch.evaluation.run_report import RunReport


@pytest.fixture
def report() -> RunReport:
    return made_up_report()


@pytest.fixture
def with_frontier(report) -> RunReport:
    """The same report, its index chosen among four candidates."""
    rows = [
        candidate("Flat", 1.0, 4.0),
        candidate("HNSW32", 0.99, 0.5, chosen=True),
        candidate("PQ8", 0.8, 0.1, within_budget=False),
        candidate("SQ8", 0.985, 5.0, within_budget=False, pareto=False),
    ]
    index = {
        **report.to_json()["index"],
        "why": "Since it is so.",
        "frontier": rows,
        "trial": {"vectors": 800, "queries": 200},
    }
    return changed(report, "index", value=index)


def beside(value: float) -> dict[str, Any]:
    return {"trained": estimate(value), "untrained": estimate(value - 0.4), "chance": value - 0.55}


@pytest.fixture
def with_axes(report) -> RunReport:
    """The same report with two further axes, of which the second could not be measured."""
    counts = {"values": 4, "missing": 1234, "queries": 220, "unanswerable": 3}
    colour = {"precision_at_1": beside(0.71), "cmc_at_10": beside(0.92)}
    graded = {
        "attributes": ["label", "colour", "size"],
        "queries": 230,
        "unanswerable": 0,
        "ndcg_at_10": beside(0.66),
    }
    axes = {
        "colour": {**counts, "metrics": colour},
        "size": {**counts, "queries": 0, "metrics": {}},
    }
    return changed(changed(report, "axes", value=axes), "graded", value=graded)
