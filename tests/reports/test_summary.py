import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vsearch.data.catalogs.demo import DemoCatalog
from vsearch.data.catalogs.folder import FolderCatalog
from vsearch.data.io.json_dataclasses import to_json
from vsearch.data.splits import StratifiedSplit
from vsearch.evaluation.axes import AxesScores, Axis
from vsearch.evaluation.metrics import means
from vsearch.evaluation.scoring import Scores
from vsearch.evaluation.split_data import SplitData
from vsearch.reports.summary import (
    axes,
    graded,
    library_versions,
    metrics,
    per_class,
    protocol,
)

LABELS = np.array([2, 0, 2, 2])
NAMES = ["apple", "pear", "plum"]


def summary(trained: Scores, untrained: Scores | None, names: list[str]) -> dict[str, Any]:
    """What report.json has of it."""
    return {
        "metrics": to_json(metrics(trained, untrained)),
        "per_class": per_class(trained, names),
    }


def axes_summary(trained: AxesScores, untrained: AxesScores | None) -> dict[str, Any]:
    """What report.json has of it."""
    return to_json({"axes": axes(trained, untrained), "graded": graded(trained, untrained)})


def scores(first: list[float], chance: float = 0.25, labels: np.ndarray = LABELS) -> Scores:
    model = {"precision_at_1": np.array(first), "map_at_r": np.linspace(0.1, 0.4, len(labels))}
    by_chance = {name: np.full(len(labels), chance) for name in model}
    return Scores(model, by_chance, labels, answered=np.arange(len(labels)), unanswerable=5)


def test_means_over_queries_and_over_classes_by_hand():
    found = summary(scores([1, 0, 1, 0]), None, NAMES)["metrics"]
    assert found["trained"]["precision_at_1"]["micro"]["value"] == pytest.approx(2 / 4)
    assert found["trained"]["precision_at_1"]["macro"]["value"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["trained"]["map_at_r"]["micro"]["value"] == pytest.approx(0.25)
    assert found["trained"]["map_at_r"]["macro"]["value"] == pytest.approx((0.8 / 3 + 0.2) / 2)


def test_many_queries_against_a_loop():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    found = summary(scores(rng.random(60).tolist(), labels=labels), None, NAMES)
    model = scores(np.random.default_rng(0).random(60).tolist(), labels=labels).model
    for row in found["per_class"]:
        own = [i for i in range(60) if NAMES[labels[i]] == row["label"]]
        assert row["queries"] == len(own)
        assert row["map_at_r"] == pytest.approx(sum(model["map_at_r"][i] for i in own) / len(own))
    assert [row["queries"] for row in found["per_class"]] == sorted(
        np.bincount(labels).tolist(), reverse=True
    )


def test_the_interval_holds_the_value_and_is_a_point_where_all_are_alike():
    found = summary(scores([1, 1, 1, 1]), None, NAMES)["metrics"]["trained"]
    assert found["precision_at_1"]["micro"] == {"value": 1, "low": 1, "high": 1}
    map_at_r = found["map_at_r"]["micro"]
    assert map_at_r["low"] < map_at_r["value"] < map_at_r["high"]


def test_chance_stands_beside_every_metric():
    made = scores([1, 0, 1, 0], chance=0.125)
    found = summary(made, None, NAMES)["metrics"]
    assert found["chance"] == means(made.chance, LABELS)
    assert found["chance"]["precision_at_1"] == {"micro": 0.125, "macro": 0.125}
    assert set(found["chance"]) == set(found["trained"])


def test_untrained_is_there_only_when_it_was_measured():
    assert set(summary(scores([1, 0, 1, 0]), None, NAMES)["metrics"]) == {"trained", "chance"}
    both = summary(scores([1, 1, 1, 1]), scores([0, 0, 1, 0], chance=0.9), NAMES)["metrics"]
    assert both["untrained"]["precision_at_1"]["micro"]["value"] == 0.25
    assert both["trained"]["precision_at_1"]["micro"]["value"] == 1
    assert both["chance"]["precision_at_1"]["micro"] == 0.25


def test_classes_are_named_counted_and_sorted_by_size():
    rows = summary(scores([1, 0, 1, 0]), None, NAMES)["per_class"]
    assert [(row["label"], row["queries"]) for row in rows] == [("plum", 3), ("apple", 1)]
    assert rows[0]["precision_at_1"] == pytest.approx(2 / 3)
    assert rows[1]["map_at_r"] == pytest.approx(0.2)


def test_each_class_has_its_own_chance():
    made = scores([1, 0, 1, 0])
    made.chance["precision_at_1"][:] = [0.5, 0.1, 0.6, 0.7]  # plum, apple, plum, plum
    rows = summary(made, None, NAMES)["per_class"]
    assert [row["precision_at_1_chance"] for row in rows] == pytest.approx([0.6, 0.1])


def on_axes(first: list[float]) -> AxesScores:
    made, none = scores(first), scores([], labels=np.zeros(0, int))
    graded = Scores(
        {"ndcg_at_10": np.array([0.5, 1.0])},
        {"ndcg_at_10": np.array([0.2, 0.4])},
        np.zeros(2),
        LABELS,
        1,
    )
    return AxesScores(
        {"colour": Axis(made, values=3, missing=7), "size": Axis(none, values=0, missing=4)}, graded
    )


def test_axes_stand_beside_the_untrained_and_chance_and_are_plain_json():
    found = axes_summary(on_axes([1, 0, 1, 1]), on_axes([0, 0, 1, 0]))
    colour = found["axes"]["colour"]
    first = colour.pop("metrics")["precision_at_1"]
    assert colour == {"values": 3, "missing": 7, "queries": 4, "unanswerable": 5}
    assert (first["trained"]["value"], first["untrained"]["value"], first["chance"]) == (
        0.75,
        0.25,
        0.25,
    )
    assert first["trained"]["low"] < 0.75 < first["trained"]["high"]
    assert found["axes"]["size"] == {
        "values": 0,
        "missing": 4,
        "queries": 0,
        "unanswerable": 5,
        "metrics": {},
    }
    graded = found["graded"]
    assert (graded["attributes"], graded["queries"], graded["unanswerable"]) == (
        ["label", "colour", "size"],
        2,
        1,
    )
    assert (
        graded["ndcg_at_10"]["trained"]["value"]
        == graded["ndcg_at_10"]["untrained"]["value"]
        == 0.75
    )
    assert graded["ndcg_at_10"]["chance"] == pytest.approx(0.3)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_axes_without_a_baseline_and_no_axes():
    found = axes_summary(on_axes([1, 0, 1, 1]), None)
    assert set(found["axes"]["colour"]["metrics"]["precision_at_1"]) == {"trained", "chance"}
    assert set(found["graded"]["ndcg_at_10"]) == {"trained", "chance"}
    assert axes_summary(AxesScores({}, on_axes([1, 0, 1, 1]).graded), None) == {
        "axes": {},
        "graded": None,
    }


def test_one_query_is_enough_and_all_is_plain_json():
    found = summary(scores([1], labels=np.array([1])), None, NAMES)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("catalog", "synthetic"), [(DemoCatalog("x"), True), (FolderCatalog("x"), False)]
)
def test_the_protocol_counts_what_was_searched(catalog, synthetic, monkeypatch):
    items = pd.DataFrame({"split": ["train"] * 6 + ["val"] + ["test"] * 4})
    items["label"] = [*"abcabcabcab"]
    data = SplitData(
        catalog=catalog,
        split=StratifiedSplit(seed=5),
        items=items,
        content_hashes=pd.Series(dtype=object),
        skipped=pd.DataFrame({"id": ["x", "y"]}),
        label_names=["a", "b", "c"],
        queries=items[items["split"] == "test"],
        gallery=items[items["split"] == "train"],
        measured_on="test",
        batch_seed=4,
    )
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")
    catalog.report = {"filtered": 1}
    found = to_json(protocol(data, scores([1, 0, 1, 0])))
    assert found == {
        "catalog": type(catalog).__name__,
        "synthetic": synthetic,
        "split": "StratifiedSplit",
        "items": 11,
        "labels": 3,
        "parts": {"train": 6, "test": 4, "val": 1},
        "measured_on": "test",
        "catalog_report": {"filtered": 1},
        "seeds": {"everything": 9, "split": 5, "batches": 4},
        "skipped_photos": 2,
        "queries": 4,
        "unanswerable_queries": 5,
        "gallery": 6,
    }
    assert json.loads(json.dumps(found)) == found


def test_a_folder_of_sources_has_no_version(monkeypatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("vsearch.reports.summary.version", version)
    assert set(library_versions().values()) == {"not installed"}


def test_versions_are_those_installed():
    found = library_versions()
    assert {"vsearch", "torch", "lightning", "faiss-cpu", "pytorch-metric-learning"} <= set(found)
    assert all(found[name] == version(name) for name in found)
