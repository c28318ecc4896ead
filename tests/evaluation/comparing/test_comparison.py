import numpy as np
import pandas as pd
import pytest
from test_runs import LABELS, made, opened, sealed

from vsearch.evaluation.comparing.comparison import ComparisonError, compare
from vsearch.evaluation.comparing.paired_bootstrap import paired_bootstrap
from vsearch.evaluation.comparing.runs import open_runs
from vsearch.evaluation.metrics import means

BASE = {"precision_at_1": [1, 0, 0, 1, 1, 0], "map_at_r": [0.9, 0.2, 0.3, 0.8, 0.5, 0.1]}
BETTER = {"precision_at_1": [1, 1, 0, 1, 0, 0], "map_at_r": [0.9, 0.4, 0.6, 0.8, 0.4, 0.0]}


def two(tmp_path, base=BASE, other=BETTER, **more):
    return compare(
        opened(tmp_path / "version_0", base), opened(tmp_path / "version_1", other, **more)
    )


def test_values_and_differences_are_those_of_the_queries(tmp_path):
    found = two(tmp_path)
    labels = np.array(LABELS)
    values, base = ({k: np.array(v, float) for k, v in one.items()} for one in (BETTER, BASE))
    expected = paired_bootstrap(values, base, labels)
    for metric, kinds in found.metrics.items():
        for kind, change in kinds.items():
            assert change.base == pytest.approx(means(base, labels)[metric][kind])
            assert change.value == pytest.approx(means(values, labels)[metric][kind])
            assert change.difference == expected[metric][kind]
    assert found.metrics["precision_at_1"]["micro"].difference.value == pytest.approx(0)
    assert found.metrics["map_at_r"]["micro"].difference.value == pytest.approx(0.3 / 6)
    assert found.metrics["map_at_r"]["macro"].difference.value == pytest.approx(
        (0.5 / 3 - 0.1 / 2 - 0.1) / 3
    )


def test_queries_in_another_order_are_put_in_the_bases(tmp_path):
    straight = two(tmp_path / "straight")
    path = tmp_path / "straight" / "version_1" / "bundle" / "queries.parquet"
    table = pd.read_parquet(path)
    table.sample(frac=1, random_state=3).to_parquet(path)
    sealed(tmp_path / "straight" / "version_1")
    mixed = compare(
        *open_runs([tmp_path / "straight" / "version_0", tmp_path / "straight" / "version_1"])
    )
    assert (
        mixed.run.queries["id"].tolist()
        == table["id"].tolist()
        != pd.read_parquet(path)["id"].tolist()
    )
    assert mixed.metrics == straight.metrics


def test_a_gallery_in_another_order_is_the_same_gallery(tmp_path):
    made(tmp_path / "version_0", BASE)
    items = pd.read_parquet(made(tmp_path / "version_1", BETTER) / "bundle" / "items.parquet")
    items[::-1].to_parquet(tmp_path / "version_1" / "bundle" / "items.parquet")
    sealed(tmp_path / "version_1")
    compare(*open_runs([tmp_path / "version_0", tmp_path / "version_1"]))


def refusal(tmp_path, **more) -> str:
    with pytest.raises(ComparisonError) as refused:
        two(tmp_path, **more)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_another_split_is_refused_with_what_to_do(tmp_path):
    short = {name: values[:5] for name, values in BETTER.items()}
    message = refusal(tmp_path, other=short, labels=LABELS[:5])
    assert (
        "version_1 has other queries than version_0: 1 of 6 are missing and 0 are new (first: 'q5')"
        in message
    )
    assert (
        f"FileSplit --data.split.init_args.path {tmp_path / 'version_0' / 'split.csv'}" in message
    )
    message = refusal(tmp_path / "gallery", gallery=[*LABELS, "a"])
    assert (
        "other gallery items than version_0: 0 of 6 are missing and 1 are new (first: 'i6')"
        in message
    )


def test_another_label_column_is_refused(tmp_path):
    message = refusal(tmp_path, labels=list("aaabcc"))
    assert (
        "version_1 has other labels than version_0 for 1 of 6 queries (first: 'q4' is 'c', not 'b')"
        in message
    )
    assert "for 3 of 6 gallery items (first: 'i0' is 'c'" in refusal(
        tmp_path / "gallery", gallery=list("caabca")
    )


def test_another_train_part_is_refused_even_where_queries_and_gallery_agree(tmp_path):
    message = refusal(tmp_path, train=[*LABELS, "a"])
    assert (
        "other train photos than version_0: 0 of 6 are missing and 1 are new (first: 't6')"
        in message
    )
    assert "FileSplit" in message
    assert "1 of 6 are missing" in refusal(tmp_path / "fewer", train=LABELS[:5])
    assert "other labels than version_0 for 1 of 6 train photos" in refusal(
        tmp_path / "labels", train=list("aaabcc")
    )


def test_an_unknown_train_part_is_noted(tmp_path):
    note = "version_1 has no split.csv: whether both were trained on the same photos is not known"
    assert note in two(tmp_path, train=None).notes


def test_axes_of_one_run_alone_are_noted(tmp_path):
    assert (
        "only version_1 measured the axes colour: left out"
        in two(tmp_path, axes={"colour": {}}).notes
    )


def test_a_metric_that_one_run_lacks_is_left_out_and_said(tmp_path):
    found = two(
        tmp_path,
        base={**BASE, "new_metric": [1] * 6},
        other={"map_at_r": BETTER["map_at_r"], "old": [0] * 6},
    )
    assert list(found.metrics) == found.ranked == ["map_at_r"]
    assert "only version_0 has precision_at_1, new_metric: left out" in found.notes
    assert "only version_1 has old: left out" in found.notes
    assert len(found.won_and_lost()[0]) == 2


def test_without_a_common_metric_there_is_nothing_to_compare(tmp_path):
    message = refusal(tmp_path, base={"old": [0] * 6}, other={"new": [0] * 6})
    assert "version_1 has the metrics ['new'], version_0 ['old']: none is common" in message


def test_a_metric_of_ones_own_can_be_the_only_one(tmp_path):
    found = two(tmp_path, base={"mine": [0, 1, 2, 3, 4, 5]}, other={"mine": [1, 1, 2, 3, 4, 0]})
    assert found.ranked == ["mine"]
    won, lost = found.won_and_lost()
    assert (won.tolist(), lost.tolist()) == ([0], [5])


def test_queries_are_ranked_by_the_top_hit_then_by_map_at_r(tmp_path):
    won, lost = two(tmp_path).won_and_lost()
    assert won.tolist() == [1, 2]  # q1 has a right top hit now; q2 has only a better map_at_r
    assert lost.tolist() == [4, 5]


def test_a_better_top_hit_wins_even_where_map_at_r_falls(tmp_path):
    base = {"precision_at_1": [0] * 6, "map_at_r": [0.5, 0.5, 0.5, 0.1 + 0.2, 0.5, 0.5]}
    other = {"precision_at_1": [1, 0, 1, 0, 0, 0], "map_at_r": [0.2, 0.9, 0.6, 0.3, 0.5, 0.4]}
    won, lost = two(tmp_path, base, other).won_and_lost()
    assert won.tolist() == [2, 0, 1]
    assert lost.tolist() == [5]  # 0.1 + 0.2 against 0.3 is rounding, no loss


def test_labels_are_the_means_of_their_queries_most_gained_first(tmp_path):
    table = two(tmp_path).labels("map_at_r")
    assert table["label"].tolist() == ["a", "b", "c"]
    for row in table.itertuples():
        own = [i for i, label in enumerate(LABELS) if label == row.label]
        assert row.queries == len(own)
        assert row.base == pytest.approx(sum(BASE["map_at_r"][i] for i in own) / len(own))
        assert row.value == pytest.approx(sum(BETTER["map_at_r"][i] for i in own) / len(own))
        assert row.change == pytest.approx(row.value - row.base)


def test_a_label_whose_queries_rise_and_fall_alike_did_not_change(tmp_path):
    base = {"map_at_r": [0.3, 0.3, 0.3, 0.5, 0.5, 0.5]}
    other = {"map_at_r": [0.3 + 0.1, 0.3 - 0.3, 0.3 + 0.2, 0.5, 0.5, 0.5]}
    found = two(tmp_path, base, other)
    assert sum(found.changes("map_at_r")[:3]) != 0  # but for rounding
    assert found.labels("map_at_r")["change"].tolist() == [0, 0, 0]


def test_a_run_beside_itself(tmp_path):
    run = opened(tmp_path / "version_0", BASE)
    found = compare(run, run)
    for kinds in found.metrics.values():
        for change in kinds.values():
            one = change.difference
            assert (one.value, one.low, one.high, one.p_value) == (0, 0, 0, 1)
    assert [len(side) for side in found.won_and_lost()] == [0, 0]


def test_harmless_differences_are_noted(tmp_path):
    protocols = [
        {"seeds": {"everything": seed}, "split": "S", "catalog_report": {"n": seed}}
        for seed in (0, 1)
    ]
    models = [{"epoch": seed, "libraries": {"torch": f"2.{seed}", "numpy": "2"}} for seed in (6, 7)]
    base = opened(tmp_path / "version_0", BASE, protocol=protocols[0], model=models[0])
    run = opened(tmp_path / "version_1", BETTER, protocol=protocols[1], model=models[1], cost=None)
    assert compare(base, run).notes == [
        "protocol seeds: version_1 {'everything': 1}, version_0 {'everything': 0}",
        "library torch: version_1 2.7, version_0 2.6",
        "version_1 is older than the recording of costs",
        "only 6 queries: the intervals are too narrow and the p-values too small",
        "1 of 3 labels have a single query, which adds nothing to the macro intervals: these are "
        "too narrow",
    ]


def test_runs_alike_with_many_queries_need_no_notes(tmp_path):
    many = {"labels": LABELS[:5] * 10}
    values = {"map_at_r": [0.5] * 50}
    found = compare(
        opened(tmp_path / "one", values, **many), opened(tmp_path / "two", values, **many)
    )
    assert found.notes == []
