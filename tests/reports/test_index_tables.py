from dataclasses import astuple, replace

import numpy as np
import pytest

from vsearch.evaluation.metrics import per_query
from vsearch.evaluation.scoring import Scores
from vsearch.indexes.choice import Loss
from vsearch.reports.index_tables import index_facts, index_sections
from vsearch.reports.summary import label_quality

LABELS = np.repeat([0, 1, 2], 20)


def scores(rate: float, seed: int = 0) -> Scores:
    """Random hits: as many of the first ten are right as `rate` says."""
    relevant = np.random.default_rng(seed).random((60, 30)) < rate
    values = per_query(relevant, np.full(60, 30))
    return Scores(values, values, LABELS, np.arange(60), 0)


def test_the_difference_is_the_indexs_doing_query_by_query():
    served, exact = scores(0.4), scores(0.6)
    found = label_quality(served, exact)
    assert list(found) == ["precision_at_1", "precision_at_10", "cmc_at_10", "map_at_r"]
    for name, values in found.items():
        ours, theirs = served.model[name], exact.model[name]
        assert values.served.value == pytest.approx(sum(ours) / 60)
        assert values.exact.value == pytest.approx(sum(theirs) / 60)
        change = values.difference
        assert change.value == pytest.approx(
            sum(a - b for a, b in zip(ours, theirs, strict=True)) / 60
        )
        assert change.low <= change.value <= change.high
    assert found["precision_at_10"].difference.high < 0


def test_an_index_that_finds_the_same_makes_no_difference():
    for values in label_quality(scores(0.5), scores(0.5)).values():
        assert set(astuple(values.difference)[:3]) == {0}


def test_an_exact_index_is_scored_once():
    for values in label_quality(scores(0.5), None).values():
        assert values.exact == values.served
        assert values.difference is None


def test_labels_and_times_have_a_table_each(report):
    labels, times = index_sections(report.index)
    assert labels.table.rows[0] == [
        "precision@1",
        "0.910 [0.810, 0.960]",
        "0.900 [0.800, 0.950]",
        "-0.0100 [-0.0200, +0.0000]",
    ]
    assert "there is no difference" not in labels.text
    assert times.table.header == ["queries", "threads", "calls", "p50 ms", "p99 ms", "queries/s"]
    assert times.table.rows == [
        ["1", "1", "200", "0.12", "0.25", "8,000"],
        ["256", "4", "3", "16.00", "17.00", "16,000"],
    ]


def test_an_exact_index_is_said_to_make_no_difference(report):
    same = {"map_at_r": replace(report.index.labels["map_at_r"], difference=None)}
    labels, _ = index_sections(replace(report.index, exact=True, labels=same))
    assert "This index is exact: there is no difference." in labels.text
    assert labels.table.rows[0][3] == "0"


def test_what_was_tried_has_a_table_and_a_reason(with_frontier):
    index = with_frontier.index
    *_, tried = index_sections(index)
    assert tried.text == "Since it is so. Tried with 200 held-out vectors among 800 others."
    rows = tried.table.rows
    assert rows[1] == ["**HNSW32**", "0.9900", "0.500", "0.250", "2.0", "1.2", "yes", "yes"]
    assert rows[3] == ["SQ8", "0.9850", "5.000", "2.500", "2.0", "1.2", "no", ""]
    assert len(tried.table.header) == len(rows[0])
    *_, tried = index_sections(replace(index, vectors=5000))
    assert "of what wasn't built from all vectors are scaled up." in tried.text
    *_, tried = index_sections(replace(index, trial=None))  # none was within the budgets
    assert tried.text == "Since it is so."


def test_facts_of_a_choice(with_frontier):
    known = dict(index_facts(with_frontier.index))
    assert known["index"] == "HNSW32, chosen and built in 0.12 s"
    assert known["why this index"] == "Since it is so."
    assert (
        "memory" not in dict(index_facts(replace(with_frontier.index, memory_bytes=None)))["size"]
    )


def test_what_is_lost_stands_beside_recall(with_frontier):
    lost = {
        "precision_at_1": Loss(0.006, 0.001, 0.011),
        "axis/colour_at_10": Loss(0.02, 0.01, 0.03),
    }
    rows = [replace(row, losses=lost) for row in with_frontier.index.frontier]
    *_, tried = index_sections(replace(with_frontier.index, frontier=rows))
    assert tried.table.header[1:4] == ["recall@10", "precision_at_1 lost", "axis/colour_at_10 lost"]
    assert tried.table.rows[1][1:4] == [
        "0.9900",
        "0.0060 [0.0010, 0.0110]",
        "0.0200 [0.0100, 0.0300]",
    ]
    assert len(tried.table.header) == len(tried.table.rows[0])
