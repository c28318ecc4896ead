import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_runs import COST, LABELS, opened

from vsearch.evaluation.comparing.paired_bootstrap import paired_bootstrap
from vsearch.evaluation.comparing.runs import Run
from vsearch.evaluation.studies.ranking import holm, rank
from vsearch.evaluation.studies.study import METRICS, Study, StudyError

STUDY = Study("loss", "Which?", "plain", (0, 1), "map_at_r", {"plain": [], "good": [], "bad": []})
N = 40
MANY = [label for label in "aabc" for _ in range(N // 4)]


def fake(
    folder: Path, *scores: float, labels=LABELS, untrained: float | None = 0.25, epoch: int = 2
) -> Run:
    """A run whose queries have these values of map_at_r, and their squares of other metrics."""
    values = {name: np.array(scores) ** (1 if name == "map_at_r" else 2) for name in METRICS}
    before = {name: {kind: {"value": untrained} for kind in ("micro", "macro")} for name in METRICS}
    metrics = {} if untrained is None else {"untrained": before}
    model = {"origin": "random", "epoch": epoch}
    return opened(
        folder, values, labels=labels, metrics=metrics, model=model, protocol={"synthetic": True}
    )


def spread(folder: Path, mean: float, seed: int) -> Run:
    scores = np.clip(np.random.default_rng(seed).normal(mean, 0.1, N), 0, 1)
    return fake(folder, *scores, labels=MANY)


@pytest.fixture
def runs(tmp_path) -> dict[str, dict[int, Run]]:
    means = {"plain": 0.5, "good": 0.7, "bad": 0.3}
    return {
        cell: {seed: spread(tmp_path / cell / str(seed), mean, seed) for seed in (0, 1)}
        for cell, mean in means.items()
    }


def naive_holm(p_values: list[float]) -> list[float]:
    """Each hypothesis's smallest level at which Holm's steps reach and reject it."""
    result = []
    for own in range(len(p_values)):
        before = sorted(range(len(p_values)), key=lambda other: (p_values[other], other))
        before = before[: before.index(own) + 1]
        result.append(
            min(
                1.0,
                max((len(p_values) - step) * p_values[other] for step, other in enumerate(before)),
            )
        )
    return result


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize("n", [2, 3, 7])
def test_holm_against_its_steps(n):
    p_values = np.random.default_rng(n).uniform(0, 0.5, n).round(1).tolist()
    assert holm(p_values) == pytest.approx(naive_holm(p_values))


def test_cells_are_ranked_best_first_with_plain_json_values(runs):
    result = rank(STUDY, runs, {})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [cell["cell"] for cell in result["cells"]] == ["good", "plain", "bad"]
    assert (result["name"], result["question"], result["seeds"], result["queries"]) == (
        "loss",
        "Which?",
        [0, 1],
        N,
    )
    assert result["synthetic"] is True


def test_means_and_spread_are_over_seeds(tmp_path):
    first = fake(tmp_path / "0", 1, 0, 0.5, 1, 1, 0, untrained=0.2)
    second = fake(tmp_path / "1", 1, 1, 0.5, 1, 1, 0, untrained=0.4, epoch=3)
    (cell,) = rank(replace(STUDY, cells={"plain": []}), {"plain": {0: first, 1: second}}, {})[
        "cells"
    ]
    one, two = 3.5 / 6, 4.5 / 6
    micro, macro = cell["metrics"]["map_at_r"]["micro"], cell["metrics"]["map_at_r"]["macro"]
    assert micro == pytest.approx(
        {"mean": (one + two) / 2, "sd": (two - one) / 2**0.5, "untrained": 0.3}
    )
    assert macro["mean"] == pytest.approx(
        ((0.5 + 1 + 0) / 3 + (2.5 / 3 + 1 + 0) / 3) / 2
    )  # labels: aaa, bb, c
    assert cell["estimate"]["value"] == pytest.approx(micro["mean"])
    assert cell["estimate"]["low"] < micro["mean"] < cell["estimate"]["high"]
    assert (cell["seeds"], cell["origins"]) == ([0, 1], ["random"])
    assert cell["cost"] == {**COST, "search_p50_ms": 0.25, "best_epoch": 2.5}


def test_one_seed_has_no_spread_and_what_wasnt_measured_is_none(tmp_path):
    run = fake(tmp_path / "0", *[1] * 6, untrained=None)
    run.manifest["cost"] = {"epoch_s": None}
    (cell,) = rank(replace(STUDY, cells={"plain": []}), {"plain": {0: run}}, {})["cells"]
    assert cell["metrics"]["map_at_r"]["micro"] == {"mean": 1, "sd": None, "untrained": None}
    assert cell["cost"]["epoch_s"] is None


def test_cells_are_compared_query_by_query_and_seed_by_seed(runs):
    by_cell = {cell["cell"]: cell for cell in rank(STUDY, runs, {})["cells"]}
    values = {
        cell: {name: np.stack([own[0].queries[name], own[1].queries[name]]) for name in METRICS}
        for cell, own in runs.items()
    }
    wanted = paired_bootstrap(values["good"], values["plain"], np.array(MANY))
    for metric in METRICS:
        for kind in ("micro", "macro"):
            found = by_cell["good"]["differences"][metric][kind]
            assert found == pytest.approx(vars(wanted[metric][kind]))
    assert (by_cell["good"]["difference"]["seeds"], by_cell["plain"]["seeds"]) == (2, [0, 1])
    assert by_cell["good"]["difference"]["holm_p_value"] == pytest.approx(
        2 * wanted["map_at_r"]["micro"].p_value
    )
    assert by_cell["plain"]["difference"] is None


def test_what_seeds_disagree_about_is_not_shown(tmp_path):
    runs = {
        cell: {
            seed: spread(tmp_path / cell / str(seed), 0.5 + rise, 9)
            for seed, rise in enumerate(rises)
        }
        for cell, rises in {
            "plain": (0, 0, 0),
            "good": (0.1, 0.12, 0.11),
            "bad": (0.3, -0.1, 0.13),
        }.items()
    }
    study = replace(STUDY, seeds=(0, 1, 2))
    found = {cell["cell"]: cell["difference"] for cell in rank(study, runs, {})["cells"]}
    assert found["bad"]["value"] == pytest.approx(found["good"]["value"], abs=0.01)
    assert found["good"]["low"] > 0
    assert found["bad"]["low"] < 0 < found["bad"]["high"]
    alone = rank(study, {cell: {0: own[0]} for cell, own in runs.items()}, {})["cells"]
    assert [cell["difference"]["seeds"] for cell in alone if cell["difference"]] == [1, 1]


def test_the_estimates_interval_is_over_queries_and_seeds(runs):
    by_cell = {cell["cell"]: cell["estimate"] for cell in rank(STUDY, runs, {})["cells"]}
    alone = rank(STUDY, {cell: {0: own[0]} for cell, own in runs.items()}, {})["cells"]
    for cell in alone:
        both, one = by_cell[cell["cell"]], cell["estimate"]
        assert both["low"] < both["value"] < both["high"]
        assert (
            both["high"] - both["low"] > one["high"] - one["low"]
        )  # two seeds that differ say less, not more


def test_labels_with_a_single_query_are_counted(tmp_path):
    result = rank(STUDY, {"plain": {0: fake(tmp_path / "0", *[1] * 6)}}, {})
    assert (result["labels"], result["single_query_labels"]) == (3, 1)


def test_macro_ranks_by_the_mean_over_labels(tmp_path):
    study = replace(STUDY, rank_by="map_at_r_macro", cells={"plain": [], "good": []})
    plain, good = fake(tmp_path / "0", 1, 1, 1, 0, 0, 0), fake(tmp_path / "1", 0, 0, 0, 0, 0, 1)
    result = rank(study, {"plain": {0: plain}, "good": {0: good}}, {})
    assert [cell["estimate"]["value"] for cell in result["cells"]] == pytest.approx([1 / 3, 1 / 3])
    assert result["cells"][1]["difference"]["value"] == pytest.approx(0)
    assert rank(replace(study, rank_by="map_at_r"), {"plain": {0: plain}, "good": {0: good}}, {})[
        "cells"
    ][1]["difference"]["value"] == pytest.approx(-1 / 3)


def test_only_shared_seeds_are_compared(runs):
    del runs["good"][0]
    good = rank(STUDY, runs, {"good": [0]})["cells"][0]
    alone = rank(STUDY, {cell: {1: own[1]} for cell, own in runs.items()}, {})["cells"][0]
    assert good["cell"] == alone["cell"] == "good"
    assert (good["seeds"], good["failed"]) == ([1], [0])
    assert good["difference"] == alone["difference"]


def test_cells_without_a_run_come_last(runs):
    del runs["good"]
    result = rank(STUDY, runs, {"good": [0, 1]})
    assert [cell["cell"] for cell in result["cells"]] == ["plain", "bad", "good"]
    last = result["cells"][-1]
    assert (last["estimate"], last["difference"], last["metrics"], last["failed"]) == (
        None,
        None,
        {},
        [0, 1],
    )


def test_without_the_baseline_nothing_is_compared(runs):
    del runs["plain"]
    assert [cell["difference"] for cell in rank(STUDY, runs, {})["cells"]] == [None] * 3
    assert rank(STUDY, {}, {})["queries"] == 0


@pytest.mark.parametrize("column", ["id", "label"])
@pytest.mark.parametrize(
    ("side", "title"),
    [("queries", "queries"), ("items", "gallery items"), ("train", "train photos")],
)
def test_other_queries_items_or_train_photos_are_refused(runs, side, title, column):
    table = getattr(runs["bad"][1], side)
    table[column] = table[column].to_numpy()[::-1].copy()
    with pytest.raises(StudyError, match=rf"bad/1 and .*plain/0 have different {title} or labels"):
        rank(STUDY, runs, {})


def test_a_run_without_its_split_is_ranked(runs):
    runs["bad"][1] = replace(runs["bad"][1], train=None)
    assert len(rank(STUDY, runs, {})["cells"]) == 3


def test_a_run_without_a_metric_is_refused(runs):
    runs["bad"][0] = replace(
        runs["bad"][0], queries=runs["bad"][0].queries.drop(columns="map_at_r")
    )
    with pytest.raises(StudyError, match=r"bad/0 doesn't have map_at_r"):
        rank(STUDY, runs, {})
