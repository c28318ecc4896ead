from collections import Counter
from dataclasses import astuple, replace

import numpy as np
import pandas as pd
import pytest
from made_up_report import candidate, changed
from small_findings import make

from vsearch.evaluation.calibration import Calibration
from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import Estimate
from vsearch.evaluation.run_report import LabelQuality
from vsearch.reports.html import (
    confusion,
    embedding_map,
    error_split,
    extremes,
    mislabelled,
    scores,
    serving,
    training,
)
from vsearch.reports.html.error_split import split
from vsearch.reports.html.findings import Findings, LeftOutError
from vsearch.reports.html.photos import Photos


def by_hand(
    photos, queries: list[tuple[str, str]], items: str = "aaaaaaabbbbbbbccccccc", **columns
) -> Findings:
    """Queries as (label, labels of their hits), over items of one letter each."""
    places = {
        letter: [place for place, one in enumerate(items) if one == letter] for letter in set(items)
    }
    hits = [
        np.array([places[letter][turn] for turn, letter in _turns(found)], dtype=int)
        for _, found in queries
    ]
    base = make(photos, ["a", "b"], n_items=8, n_queries=4)
    asked = pd.DataFrame({"label": [label for label, _ in queries], "hits": hits, **columns})
    asked = asked.assign(id=[f"q{number}" for number in range(len(asked))], path=photos[0])
    asked["scores"] = columns.get("scores", [np.linspace(0.9, 0.5, len(found)) for found in hits])
    gallery = pd.DataFrame(
        {"label": [*items], "id": [f"i{number}" for number in range(len(items))], "path": photos[1]}
    )
    return replace(base, queries=asked, items=gallery, vectors=None)


def _turns(letters: str) -> list[tuple[int, str]]:
    seen: Counter[str] = Counter()
    found = []
    for letter in letters:
        found.append((seen[letter], letter))
        seen[letter] += 1
    return found


def test_confusions_come_largest_first_with_their_share(photos):
    found = by_hand(
        photos,
        [("a", "ba"), ("a", "bb"), ("a", "ab"), ("b", "cb"), ("c", "c"), ("a", "ca"), ("a", "")],
    )
    pairs = confusion.section(found, Photos()).values["pairs"]
    assert [(pair.label, pair.taken, pair.n) for pair in pairs] == [
        ("a", "b", 2),
        ("a", "c", 1),
        ("b", "c", 1),
    ]
    assert [pair.share for pair in pairs] == [2 / 5, 1 / 5, 1]
    assert {row.query.id for row in pairs[0].rows} == {"q0", "q1"}
    assert [hit.right for hit in pairs[0].rows[0].hits] == [False, True]


def test_confusions_against_a_loop(findings):
    section = confusion.section(findings, Photos()).values
    counts: Counter[tuple[str, str]] = Counter()
    for label, hits in zip(findings.queries["label"], findings.hit_labels, strict=True):
        if hits[0] != label:
            counts[label, hits[0]] += 1
    assert section["wrong"] == sum(counts.values()) > 0
    assert {(pair.label, pair.taken): pair.n for pair in section["pairs"]} == counts
    assert section["kinds"] == len(counts)


def test_a_cell_of_the_heat_map_opens_its_pair(findings):
    section = confusion.section(findings, Photos())
    heat = section.figures["heat"]["data"][0]
    ids = {cell for line in heat["customdata"] for cell in line if cell}
    assert ids == {pair.id for pair in section.values["pairs"]}
    assert [sum(line) for line in heat["z"]] == pytest.approx([100] * len(heat["z"]), abs=0.3)


def test_nothing_mistaken_is_a_sentence(photos):
    with pytest.raises(LeftOutError, match="nothing was mistaken"):
        confusion.section(by_hand(photos, [("a", "ab"), ("b", "b")]), Photos())


def test_suspects_have_five_hits_or_more_that_agree_on_another_label():
    cases = {
        "bbbbb": True,
        "bbbb": False,
        "bbbba": False,
        "bbbbc": False,
        "aaaaa": False,
        "": False,
    }
    hits = [np.array([*found], dtype=object) for found in cases]
    found = mislabelled.suspects(np.array(["a"] * len(cases)), hits)
    assert found.tolist() == [place for place, yes in enumerate(cases.values()) if yes]


def test_the_nearest_suspects_come_first(photos):
    scores = [np.full(5, 0.5), np.full(5, 0.9)]
    found = by_hand(photos, [("a", "bbbbb"), ("c", "bbbbb")], scores=scores)
    section = mislabelled.section(found, Photos()).values
    assert [row.query.id for row in section["rows"]] == ["q1", "q0"]


def test_best_median_and_worst(photos):
    values = [0.0, 0.1, 0.4, 0.5, 0.6, 0.9, 1.0]
    found = by_hand(photos, [(label, "a") for label in "abcdefg"], map_at_r=values)
    groups = extremes.section(found, Photos()).values["groups"]
    first = {name: rows[0].note for name, rows in groups.items()}
    assert first == {"Best": "1.000", "In the middle": "0.500", "Worst": "0.000"}
    assert [row.note for row in groups["Worst"]] == ["0.000", "0.100", "0.400", "0.500", "0.600"]


def test_rows_are_of_other_labels_where_there_are(photos):
    found = by_hand(photos, [(label, "a") for label in "aaaaab"], map_at_r=[0.0, 0, 0, 0, 0, 1])
    groups = extremes.section(found, Photos()).values["groups"]
    assert {row.query.label for row in groups["Worst"][:2]} == {"a", "b"}
    assert len(groups["Worst"]) == 5


def test_histograms_count_every_hit_once(findings):
    figures = scores.section(findings, Photos()).figures
    right = sum(
        (found == label).sum()
        for label, found in zip(findings.queries["label"], findings.hit_labels, strict=True)
    )
    bars = {bar["name"]: sum(bar["y"]) for bar in figures["all_hits"]["data"]}
    assert bars == {"right": right, "wrong": 10 * len(findings.queries) - right}
    assert sum(sum(bar["y"]) for bar in figures["best_hits"]["data"]) == len(findings.queries)


def test_the_threshold_is_the_calibrations(findings):
    figures = scores.section(findings, Photos()).figures
    assert figures["best_hits"]["layout"]["shapes"][0]["x0"] == findings.calibration.threshold
    none = replace(findings, calibration=Calibration(None, 0.1, (0.0,), (0.5,), 3, 1))
    assert scores.section(none, Photos()).figures["best_hits"]["layout"]["shapes"] == []


def test_one_score_alone_is_a_histogram_too(photos):
    found = by_hand(photos, [("a", "a")], scores=[np.array([1.0])])
    assert (
        sum(sum(bar["y"]) for bar in scores.section(found, Photos()).figures["best_hits"]["data"])
        == 1
    )


def test_the_error_split_adds_up_to_a_perfect_score():
    found = split(
        LabelQuality(
            exact=Estimate(0.9, 0.85, 0.94),
            served=Estimate(0.85, 0.8, 0.9),
            difference=Difference(-0.05, -0.08, 0.01, p_value=0.1),
        )
    )
    assert astuple(found.model) == pytest.approx((0.1, 0.06, 0.15))
    assert astuple(found.index) == pytest.approx((0.05, -0.01, 0.08))
    whole = found.served.value + found.model.value + found.index.value
    assert whole == pytest.approx(1)


def test_an_exact_index_loses_nothing(findings):
    rows = error_split.section(findings, Photos()).values["rows"]
    assert findings.report.index.exact
    assert rows
    assert all(row.index == Estimate(0, 0, 0) for row in rows.values())


def test_labels_beyond_the_colours_share_one(photos):
    found = make(photos, [f"label {number}" for number in range(20)])
    traces = embedding_map.section(found, Photos()).figures["map"]["data"]
    assert len(traces) == 17
    assert traces[-1]["name"] == "4 other labels"
    assert sum(len(trace["x"]) for trace in traces) == len(found.items)
    looks = [(trace["marker"]["color"], trace["marker"]["symbol"]) for trace in traces]
    assert len(set(looks)) == len(looks)


def test_the_chosen_index_is_marked(findings):
    rows = [
        candidate("Flat", 1.0, 4.0),
        candidate("HNSW32", 0.99, 0.5, chosen=True),
        candidate("PQ8", 0.8, 0.1, within_budget=False),
        candidate("SQ8", 0.98, 5.0, pareto=False),
    ]
    report = changed(findings.report, "index", "frontier", value=rows)
    section = serving.section(replace(findings, report=report), Photos())
    traces = {trace["name"]: trace for trace in section.figures["frontier"]["data"]}
    assert traces["chosen"]["text"] == ["HNSW32"]
    assert traces["breaks a budget"]["text"] == ["PQ8"]
    assert traces["within the budgets"]["text"] == ["Flat", "SQ8"]
    assert traces["no other is better in both"]["x"] == [0.1, 0.5, 4.0]


def test_curves_have_gaps_and_not_zeros(findings):
    epochs = [
        {"epoch": 0, "val/loss": 0.5},
        {"epoch": 1, "val/loss": None},
        {"epoch": 2, "val/loss": 0.25, "extra/x": 1},
    ]
    report = changed(findings.report, "training", value={"epochs": epochs, "chosen": 2})
    section = training.section(replace(findings, report=report), Photos())
    assert section.figures["losses"]["data"][0]["y"] == [0.5, None, 0.25]
    assert section.values["names"] == ["val/loss", "extra/x"]
    assert section.values["table"][0] == [0, 0.5, None]
    assert set(section.figures) == {"losses"}
