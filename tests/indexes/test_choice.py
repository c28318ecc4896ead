import pytest

from vsearch.indexes.choice import (
    Budgets,
    Loss,
    Measured,
    choose,
    finalists,
    pareto,
    table,
    why,
)


def row(spec: str, recall: float, ms: float, mib: float = 1) -> Measured:
    return Measured(spec, recall, ms, ms / 2, round(mib * 2**20), 0.5)


EXACT, GRAPH, CODES = (
    row("Flat", 1.0, 4.0, 8),
    row("HNSW32", 0.995, 0.5, 10),
    row("PQ", 0.95, 0.2, 1),
)
THREE = [EXACT, GRAPH, CODES]


@pytest.mark.parametrize(
    ("budgets", "wanted"),
    [
        (Budgets(), "HNSW32"),
        (Budgets(min_recall=0.9), "PQ"),
        (Budgets(min_recall=0.95), "PQ"),  # a budget that is met exactly is met
        (Budgets(min_recall=1.0), "Flat"),
        (Budgets(min_recall=0.99, max_mib=9), "Flat"),
        (Budgets(min_recall=0.99, max_mib=8), "Flat"),
        (Budgets(min_recall=0, max_mib=1), "PQ"),
        (Budgets(min_recall=0.99, max_ms=0.5), "HNSW32"),
    ],
)
def test_the_fastest_within_the_budgets_is_chosen(budgets, wanted):
    assert THREE[choose(THREE, budgets)].spec == wanted


@pytest.mark.parametrize(("slower", "wanted"), [(1.0, 0), (1.09, 0), (1.11, 1)])
def test_within_a_tenth_the_simpler_is_chosen_whatever_the_noise(slower, wanted):
    rows = [row("simple", 0.99, slower), row("fancy", 1.0, 1.0)]
    assert choose(rows, Budgets()) == wanted
    assert (
        choose(rows[::-1], Budgets()) == 0
    )  # the first in the list, whichever of the two is a little slower


def test_a_tie_is_with_the_fastest_not_a_chain():
    rows = [row("a", 1, 1.2), row("b", 1, 1.09), row("c", 1, 1.0)]
    assert choose(rows, Budgets()) == 1


def test_a_tie_never_takes_what_breaks_a_budget():
    rows = [row("loose", 0.98, 1.0), row("tight", 0.99, 1.05)]
    assert choose(rows, Budgets()) == 1


@pytest.mark.parametrize(
    ("slower", "budgets", "wanted"),
    [
        (1.09, Budgets(0.9), 1),
        (1.11, Budgets(0.9), 0),
        (1.11, Budgets(0.9, prefer="memory"), 0),  # as small; the quick ones are taken
        (1.09, Budgets(0.9, prefer="memory"), 1),
        (1.09, Budgets(0.991), 2),
    ],
)
def test_of_a_kinds_settings_in_a_tie_the_one_that_loses_least(slower, budgets, wanted):
    rows = [row("G, 16", 0.95, 1.0), row("G, 32", 0.99, slower), row("G, 64", 1, 2)]
    assert choose(rows, budgets) == wanted
    told = why(rows, budgets, choose(rows, budgets))
    tied = wanted == 1 and budgets.prefer == "time"
    assert ("within 10 % of the fastest is G, 32" in told) == tied


def test_of_settings_that_find_as_much_the_quicker_one():
    rows = [row("G, 16", 1, 1.05), row("G, 32", 1, 1.0)]
    assert choose(rows, Budgets()) == 1


@pytest.mark.parametrize(
    ("budgets", "wanted"),
    [
        (Budgets(0.99), [0, 1, 2, 3]),  # lists take less time, and find more than 0.9 * 0.99
        (Budgets(0.99, max_mib=2), [0, 1]),
        (Budgets(0.99, prefer="memory"), [0, 1]),
        (Budgets(0.99, max_label_loss=0.1), [0, 1]),
    ],
)
def test_another_kind_is_tried_on_all_if_it_is_quick_and_finds_nearly_enough(budgets, wanted):
    rows = [
        row("graph, 16", 0.95, 0.5),
        row("graph, 32", 0.99, 1.0),
        row("lists, 4", 0.5, 0.1, 3),
        row("lists, 8", 0.9, 0.2, 3),
        row("codes, 3", 0.9, 0.3, 3),
        row("slow, 3", 0.9, 1.1),
    ]
    assert finalists(rows, budgets, 1) == wanted


def test_the_nearest_is_that_whose_worst_miss_is_the_least():
    rows = [row("slow", 1.0, 2.0), row("loose", 0.9, 1.0), row("both", 0.5, 1.05)]
    assert choose(rows, Budgets(1.0, max_ms=1.0)) == 1
    budgets = Budgets(0.999, max_ms=3.9)
    assert choose(THREE, budgets) == 1
    assert [*budgets.excess(GRAPH)] == ["finds 0.9950, not 0.999"]


def test_the_pareto_line_against_a_loop():
    rows = [row(f"{r}{t}", r / 4, t + 1) for r in range(5) for t in range(4)] + [
        row("twin", 1.0, 1)
    ]
    for one, on_it in zip(rows, pareto(rows, Budgets()), strict=True):
        beaten = False
        for other in rows:
            no_worse = other.recall_at_10 >= one.recall_at_10 and other.single_ms <= one.single_ms
            better = other.recall_at_10 > one.recall_at_10 or other.single_ms < one.single_ms
            beaten |= no_worse and better
        assert on_it == (not beaten)


def test_the_table_is_json_and_marks_the_choice():
    entries = table(THREE, Budgets(), 1)
    assert [entry["chosen"] for entry in entries] == [False, True, False]
    assert [entry["within_budget"] for entry in entries] == [True, True, False]
    assert [entry["pareto"] for entry in entries] == [True, True, True]
    assert entries[0]["memory_bytes"] == 8 * 2**20


@pytest.mark.parametrize(
    ("rows", "budgets", "parts"),
    [
        (
            THREE,
            Budgets(),
            [
                "Of 3 candidates, 2 kept",
                "fastest is HNSW32",
                "is PQ, which finds 0.9500, not 0.99.",
            ],
        ),
        (THREE, Budgets(0.9), ["Nothing measured takes less time."]),
        (
            THREE,
            Budgets(0.9, max_ms=2, max_mib=20),
            ["recall@10 of 0.9 or more, at most 2 ms, at most 20 MiB"],
        ),
        (
            [row("a", 1, 1.05), row("b", 1, 1)],
            Budgets(),
            [
                "and within 10 % of the fastest is a",
                "It is simpler than b: recall@10",
            ],
        ),
    ],
)
def test_why_is_two_sentences(rows, budgets, parts):
    text = why(rows, budgets, choose(rows, budgets))
    for part in parts:
        assert part in text
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_recall": 1.1}, "min_recall: 1.1"),
        ({"min_recall": None}, "min_recall: null"),
        ({"max_label_loss": 0}, "max_label_loss: 0"),
        ({"prefer": "money"}, "prefer: 'money'"),
        ({"max_ms": 0}, "max_ms: 0"),
        ({"max_mib": -1}, "max_mib: -1"),
    ],
)
def test_budgets_that_nothing_could_meet_are_refused(limits, message):
    with pytest.raises(ValueError, match=message):
        Budgets(**limits)


def judged(spec: str, ms: float, mib: float, label: float, axis: float) -> Measured:
    """A candidate whose intervals reach 0.004 to either side."""
    losses = {
        "precision_at_1": Loss(label, label - 0.004, label + 0.004),
        "precision_at_10": Loss(0.0, 0.0, 0.0),
        "axis/colour_at_10": Loss(axis, axis - 0.004, axis + 0.004),
    }
    return Measured(spec, 0.5, ms, ms, round(mib * 2**20), 0.5, losses)


JUDGED = [
    judged("Flat", 4, 8, 0, 0),
    judged("PCA128,SQ8", 1, 0.5, 0.005, 0.01),
    judged("PCA64,SQ8", 0.5, 0.25, 0.0061, 0.02),  # 0.0101 at its interval's upper end
    judged("PCA32,SQ8", 0.3, 0.1, 0.02, 0.05),
]


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({"max_label_loss": 0.01}, "PCA128,SQ8"),
        ({"max_label_loss": 0.011}, "PCA64,SQ8"),
        ({"max_label_loss": 0.03}, "PCA32,SQ8"),
        ({"max_label_loss": 0.03, "max_axis_loss": 0.02}, "PCA128,SQ8"),
        ({"max_axis_loss": 0.005}, "Flat"),
        ({"max_label_loss": 0.01, "prefer": "memory"}, "PCA128,SQ8"),
    ],
)
def test_the_upper_end_of_the_interval_decides(limits, wanted):
    budgets = Budgets(None, **limits)
    assert JUDGED[choose(JUDGED, budgets)].spec == wanted


def test_recall_may_be_a_limit_beside_labels():
    both = Budgets(0.6, max_label_loss=0.01).excess(JUDGED[2])
    assert [*both] == ["finds 0.5000, not 0.6", "may lose 0.0101 of precision_at_1, not 0.01"]


def test_memory_may_be_what_is_to_be_little():
    quick = judged("quick", 0.1, 4, 0, 0)
    rows = [quick, *JUDGED[1:]]
    assert choose(rows, Budgets(None, max_label_loss=0.02)) == 0
    assert choose(rows, Budgets(None, max_label_loss=0.02, prefer="memory")) == 2


def test_what_it_costs_is_said_in_two_sentences():
    text = why(JUDGED, Budgets(None, max_label_loss=0.01, prefer="memory"), 1)
    assert text == (
        "Of 4 candidates, 2 kept within label losses of 0.01, and the smallest is PCA128,SQ8: "
        "recall@10 0.5000, 1 ms per search, 0.5 MiB. Against exact search it loses precision_at_1 "
        "0.0050 [0.0010, 0.0090], precision_at_10 0.0000 [0.0000, 0.0000], axis/colour_at_10 "
        "0.0100 [0.0060, 0.0140]; the best of 2 with less memory is PCA64,SQ8, which may "
        "lose 0.0101 of precision_at_1, not 0.01."
    )


def test_where_no_query_can_judge_nothing_is_within_the_budgets():
    broken = Budgets(None, max_axis_loss=0.1).excess(row("Flat", 1.0, 1))
    assert broken == {"has no query for max_axis_loss": float("inf")}


def test_the_pareto_line_follows_labels_and_memory():
    beaten = judged("beaten", 0.2, 1, 0.006, 0)
    rows = [*JUDGED, beaten]
    assert pareto(rows, Budgets(None, max_label_loss=1, prefer="memory")) == [True] * 4 + [False]
    assert pareto(rows, Budgets(None, max_label_loss=1)) == [True, True, False, False, True]
