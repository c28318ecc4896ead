import time
from collections.abc import Callable, Iterable
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vsearch.data.splits import (
    PARTS,
    ColumnSplit,
    FileSplit,
    FractionSplit,
    LabelDisjointSplit,
    SplitError,
    StratifiedSplit,
    units,
    write_split,
)

DRAWN = pytest.mark.parametrize("split", [StratifiedSplit, LabelDisjointSplit])


def catalog(sizes: list[int], **columns: list) -> pd.DataFrame:
    labels = np.repeat([f"label {number}" for number in range(len(sizes))], sizes)
    return pd.DataFrame(
        {"id": [f"{n:05d}" for n in range(len(labels))], "label": labels, **columns}
    )


def tied_catalog(seed: int) -> pd.DataFrame:
    """40 labels of 2 to 30 items; a tenth are copies, some of them in another label; products of a
    label.
    """
    rng = np.random.default_rng(seed)
    items = catalog(rng.integers(2, 31, 40).tolist())
    copies = rng.random(len(items)) < 0.1
    items["content_hash"] = [f"hash {rng.integers(40)}" if copy else None for copy in copies]
    items["product"] = [
        f"{label}/{rng.integers(8)}" if rng.random() < 0.3 else None for label in items["label"]
    ]
    return items


def fractions(parts: pd.Series) -> np.ndarray:
    return np.array([(parts == part).mean() for part in PARTS])


def union_find(items: pd.DataFrame, columns: list[str]) -> list[int]:
    root = list(range(len(items)))

    def find(item: int) -> int:
        return item if root[item] == item else find(root[item])

    for column in columns:
        values = items[column].tolist()
        for i in range(len(values)):
            for j in range(i):
                if isinstance(values[i], str) and values[i] == values[j]:
                    root[find(i)] = find(j)
    return [find(item) for item in range(len(items))]


def same_partition(a: list[int], b: list[int]) -> bool:
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("group", "copies"), [("product", True), ("product", False), (None, True), (None, False)]
)
def test_units_are_those_of_a_naive_union_find(seed: int, group: str | None, copies: bool) -> None:
    items = tied_catalog(seed).head(150)
    columns = ["content_hash"] * copies + ([group] if group else [])
    found = units(items, group, copies)
    assert same_partition(found.tolist(), union_find(items, columns))
    assert set(found) == set(range(found.max() + 1))


def test_units_by_hand() -> None:
    hashes, products = (
        ["a", "b", "a", None, float("nan"), "", ""],
        ["p", "p", None, "q", "", "q", ""],
    )
    items = catalog([7], content_hash=hashes, product=products)
    assert same_partition(units(items, "product", True).tolist(), [0, 0, 0, 1, 2, 1, 3])
    assert same_partition(units(items, "product", False).tolist(), [0, 0, 1, 2, 3, 2, 4])
    assert same_partition(units(items, None, True).tolist(), [0, 1, 0, 2, 3, 4, 5])


def test_a_column_group_ties_nothing_unless_it_is_named() -> None:
    items = catalog([4], group=["p", "p", "q", "q"])
    assert same_partition(units(items, None, True).tolist(), [0, 1, 2, 3])
    assert same_partition(units(items, "group", True).tolist(), [0, 0, 1, 1])


def test_groups_are_what_is_written() -> None:
    written = ["007", "7", "07", "NA", "NA", "None", "1e5", "100000.0", "", "", " ", None]
    items = catalog([len(written)], group=written)
    expected = [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10]
    assert same_partition(units(items, "group", False).tolist(), expected)


def test_a_hash_and_a_group_with_the_same_text_tie_nothing() -> None:
    items = catalog([2], content_hash=["x", None], product=[None, "x"])
    assert len(set(units(items, "product", True))) == 2


@pytest.mark.parametrize(
    "values",
    [
        [7.0, float("nan"), 7.0, float("nan")],
        pd.array([7, pd.NA, 7, pd.NA], dtype="Int64"),
        pd.array(["p", pd.NA, "p", pd.NA], dtype="string"),
        pd.Categorical(["p", None, "p", None]),
        pd.to_datetime(["2024-01-01", "NaT", "2024-01-01", "NaT"]),
    ],
)
def test_any_kind_of_column_groups(values: list) -> None:
    items = catalog([4], product=values)
    assert same_partition(units(items, "product", True).tolist(), [0, 1, 0, 2])


@DRAWN
def test_every_item_has_a_part_and_no_unit_lies_on_two_sides(split: type[FractionSplit]) -> None:
    for seed in range(10):
        items = tied_catalog(seed)
        if split is LabelDisjointSplit:  # copies in many labels would tie them all
            items.loc[items["content_hash"].duplicated(), "content_hash"] = None
        parts = split(seed=seed, group="product").assign(items)
        assert parts.index.equals(items.index)
        assert parts.name == "split"
        assert set(parts) == set(PARTS)
        assert parts.groupby(units(items, "product", True)).nunique().max() == 1


@DRAWN
def test_copies_may_part_when_asked(split: type[FractionSplit]) -> None:
    items = catalog([20] * 10, content_hash=["same"] * 200)
    parts = split(keep_copies_together=False).assign(items)
    assert set(parts) == set(PARTS)


@DRAWN
def test_the_split_belongs_to_the_ids_not_to_the_row_order(split: type[FractionSplit]) -> None:
    items = catalog(list(range(2, 32)))
    items["product"] = [f"{label}/{number % 7}" for number, label in enumerate(items["label"])]
    for seed in range(5):
        shuffled = items.sample(frac=1, random_state=seed).reset_index(drop=True)
        before, after = (
            split(seed=seed, group="product").assign(table) for table in (items, shuffled)
        )
        assert dict(zip(items["id"], before, strict=True)) == dict(
            zip(shuffled["id"], after, strict=True)
        )


@DRAWN
def test_a_seed_is_a_split(split: type[FractionSplit]) -> None:
    items = catalog(list(range(5, 35)))
    drawn = [tuple(split(seed=seed).assign(items)) for seed in range(10)]
    assert drawn == [tuple(split(seed=seed).assign(items)) for seed in range(10)]
    assert len(set(drawn)) == 10


@pytest.mark.parametrize(
    "sizes", [[2] * 300, [3] * 200, [5] * 100, [12] * 10, [100] * 5, list(range(2, 60))]
)
@pytest.mark.parametrize("asked", [(0.8, 0.1, 0.1), (0.6, 0.3, 0.1), (0.9, 0.1, 0.0)])
def test_stratified_fractions_hold_overall(
    sizes: list[int], asked: tuple[float, float, float]
) -> None:
    for seed in range(5):
        parts = StratifiedSplit(*asked, seed=seed).assign(catalog(sizes))
        assert np.allclose(
            fractions(parts) * len(parts), np.array(asked) * len(parts), atol=2
        )  # items


def test_stratified_fractions_hold_in_each_label() -> None:
    items = catalog([10, 40, 100, 37, 12] * 4)
    for seed in range(10):
        parts = StratifiedSplit(seed=seed).assign(items)
        counts = pd.crosstab(items["label"], parts)[list(PARTS)].to_numpy()
        targets = counts.sum(axis=1, keepdims=True) * np.array([[0.8, 0.1, 0.1]])
        assert counts.min() >= 1
        assert np.abs(counts - targets).max() < 3


def test_units_of_a_label_are_dealt_by_hand() -> None:
    items = catalog([10], product=["big"] * 8 + ["small", "smaller"])
    for seed in range(5):
        parts = StratifiedSplit(seed=seed, group="product").assign(items)
        assert set(parts[:8]) == {"train"}
        assert set(parts[8:]) == {"val", "test"}


def test_a_label_of_ten_has_queries_even_if_half_its_items_are_copies() -> None:
    items = catalog([10] * 20)
    items["content_hash"] = items.index.map(
        lambda n: f"pair {n // 2}" if n % 10 < 6 else None
    )  # 3 pairs, 4 alone
    for seed in range(10):
        parts = StratifiedSplit(seed=seed).assign(items)
        assert (pd.crosstab(items["label"], parts) > 0).to_numpy().all()


def test_fractions_hold_overall_where_labels_have_three_big_units() -> None:
    items = catalog([30] * 50)
    items["product"] = items.index // 10
    for seed in range(10):
        parts = StratifiedSplit(seed=seed, group="product").assign(items)
        assert np.allclose(fractions(parts), (0.8, 0.1, 0.1), atol=0.02)


def test_every_label_can_be_found_in_train() -> None:
    for seed in range(20):
        items = tied_catalog(seed)
        parts = StratifiedSplit(0.2, 0.4, 0.4, seed=seed).assign(items)
        assert set(items["label"][parts == "train"]) == set(items["label"])


def test_a_label_whose_photos_are_all_copies_of_another_label_stays_in_train() -> None:
    items = catalog([60, 2], content_hash=[f"hash {n}" for n in range(60)] + ["hash 58", "hash 59"])
    for seed in range(20):
        parts = StratifiedSplit(0.2, 0.4, 0.4, seed=seed).assign(items)
        assert "train" in set(parts[60:])
        assert parts[58] == parts[60]
        assert parts[59] == parts[61]


def odd_ones(splits: Iterable[pd.Series]) -> set[tuple[int, int]]:
    return {((parts == "val").sum(), (parts == "test").sum()) for parts in splits}


def test_ties_favour_neither_val_nor_test() -> None:
    drawn = [
        tuple(StratifiedSplit(0.5, 0.25, 0.25, seed=seed).assign(catalog([3])))
        for seed in range(60)
    ]
    assert set(drawn) == set(permutations(PARTS))
    assert odd_ones(StratifiedSplit(seed=seed).assign(catalog([25])) for seed in range(20)) == {
        (2, 3),
        (3, 2),
    }
    labels = (
        LabelDisjointSplit(0.2, 0.4, 0.4, seed=seed).assign(catalog([2] * 6)) for seed in range(20)
    )
    assert odd_ones(labels) == {(4, 6), (6, 4)}


def test_any_small_label_may_have_the_query() -> None:
    items = catalog([3] * 20)
    queries = [
        (StratifiedSplit(seed=seed).assign(items)[:3] != "train").sum() for seed in range(60)
    ]
    assert np.mean(queries) == pytest.approx(0.6, abs=0.2)


def test_any_label_may_be_held_out() -> None:
    items = catalog([10, 11, 12, 13, 14, 15])
    held_out = [
        set(items["label"][LabelDisjointSplit(seed=seed).assign(items) != "train"])
        for seed in range(40)
    ]
    assert set().union(*held_out) == set(items["label"])


def test_small_labels_are_no_likelier_in_test_than_in_train() -> None:
    items = catalog([10, 20, 30, 40] * 20)
    drawn = [LabelDisjointSplit(seed=seed).assign(items) for seed in range(40)]
    sizes = [items["label"][parts == "test"].value_counts().mean() for parts in drawn]
    assert np.mean(sizes) == pytest.approx(25, abs=2.5)


def test_small_units_are_no_likelier_in_test_than_in_train() -> None:
    sizes = np.tile([1, 2, 3, 4], 25)
    items = catalog([sizes.sum()], product=np.repeat(np.arange(100), sizes).tolist())
    mean_size = []
    for seed in range(60):
        parts = StratifiedSplit(0.6, 0.2, 0.2, seed=seed, group="product").assign(items)
        mean_size.append(items[parts == "test"].groupby("product").size().mean())
    assert np.mean(mean_size) == pytest.approx(2.5, abs=0.2)


def test_copies_in_a_big_label_may_be_queries() -> None:
    items = catalog([230])
    items["content_hash"] = items.index.map(lambda n: f"trio {n // 3}" if n < 30 else None)
    in_test = [
        (StratifiedSplit(seed=seed).assign(items)[:30] == "test").sum() for seed in range(40)
    ]
    assert np.mean(in_test) == pytest.approx(3, abs=1)


def test_labels_of_one_unit_leave_no_queries() -> None:
    items = catalog([4] * 5)
    items["product"] = items["label"]
    with pytest.raises(SplitError, match=r"val part would be empty: 20 items of 5 labels"):
        StratifiedSplit(group="product").assign(items)


def test_single_unit_labels_are_not_paid_for_by_one_label() -> None:
    items = catalog([2] * 200 + [100])
    items["product"] = items["label"].where(items["label"] != "label 200")
    for seed in range(10):
        parts = StratifiedSplit(seed=seed, group="product").assign(items)
        assert (parts[400:] == "train").sum() >= 60


@pytest.mark.parametrize("sizes", [[2] * 300, [20] * 50, list(range(2, 102)), [400] + [4] * 400])
def test_label_disjoint_fractions_hold_and_no_label_is_in_two_parts(sizes: list[int]) -> None:
    items = catalog(sizes)
    for seed in range(10):
        parts = LabelDisjointSplit(seed=seed).assign(items)
        assert parts.groupby(items["label"]).nunique().max() == 1
        assert np.allclose(fractions(parts), (0.8, 0.1, 0.1), atol=0.03)


def test_label_disjoint_keeps_labels_of_a_shared_unit_together() -> None:
    items = catalog([5] * 30)
    items["content_hash"] = None
    items.loc[[0, 5], "content_hash"] = "first and second"
    items.loc[[6, 11], "content_hash"] = "second and third"
    for seed in range(20):
        parts = LabelDisjointSplit(seed=seed).assign(items)
        assert parts[:15].nunique() == 1
        assert set(parts) == set(PARTS)


@pytest.mark.parametrize("sizes", [[2, 2, 2], [50, 3, 2], [2, 2, 2, 1, 1, 1, 1], [90, 2, 2, 1]])
def test_label_disjoint_gives_each_part_a_label_of_two(sizes: list[int]) -> None:
    items = catalog(sizes)
    for seed in range(20):
        parts = LabelDisjointSplit(seed=seed).assign(items)
        largest = items.groupby([parts, "label"]).size().groupby("split").max()
        assert (largest[list(PARTS)] >= 2).all()
        assert parts[0] == "train" or sizes[0] == 2


def test_label_disjoint_needs_labels_enough() -> None:
    with pytest.raises(SplitError, match=r"3 parts need .* only 2 such labels"):
        LabelDisjointSplit().assign(catalog([5, 5, 1, 1]))
    assert set(LabelDisjointSplit(0.5, 0.5, 0.0).assign(catalog([5, 5]))) == {"train", "val"}


@DRAWN
def test_forty_thousand_items_take_under_a_second(split: type[FractionSplit]) -> None:
    items = catalog([40_000 // 90] * 90)
    items["content_hash"] = (items.index // 3).astype(str)
    items.loc[items["label"] == "label 3", "content_hash"] = "one photo"
    start = time.process_time()
    split().assign(items)
    assert time.process_time() - start < 1


@DRAWN
@pytest.mark.parametrize(
    "asked",
    [(0.8, 0.1, 0.2), (0.0, 0.5, 0.5), (1.0, 0.0, 0.0), (0.9, 0.2, -0.1), (float("nan"), 0.5, 0.5)],
)
def test_bad_fractions_are_refused(
    split: type[FractionSplit], asked: tuple[float, float, float]
) -> None:
    with pytest.raises(SplitError, match=r"train=.*val=.*test=.*sum must be 1"):
        split(*asked)


@DRAWN
def test_fractions_need_sum_to_one_only_nearly(split: type[FractionSplit]) -> None:
    assert set(split(0.7, 0.2, 0.1 + 5e-7).assign(catalog([20] * 20))) == set(PARTS)


@DRAWN
def test_a_group_column_that_is_missing_is_named(split: type[FractionSplit]) -> None:
    with pytest.raises(SplitError, match=r"'sku'.*\['id', 'label'\]"):
        split(group="sku").assign(catalog([5] * 5))


def test_galleries() -> None:
    assert StratifiedSplit().gallery == "train"
    assert LabelDisjointSplit().gallery == "self"
    assert (
        ColumnSplit(gallery="self").gallery
        == FileSplit("split.csv", gallery="self").gallery
        == "self"
    )
    assert ColumnSplit().gallery == FileSplit("split.csv").gallery == "train"


def test_a_column_gives_the_split_in_any_spelling() -> None:
    items = catalog(
        [8], fold=["train", "TRAIN", "val", "Validation", "valid", "dev", "Test", " test "]
    )
    parts = ColumnSplit("fold").assign(items)
    assert parts.tolist() == ["train"] * 2 + ["val"] * 4 + ["test"] * 2
    assert parts.name == "split"


@pytest.mark.parametrize("value", ["extra", None, float("nan"), "", 3])
def test_a_column_with_another_value_is_refused_by_row(value: object) -> None:
    items = catalog([3], split=["train", value, "val"])
    with pytest.raises(SplitError, match=r"column 'split': 1 of 3 items.*\n  id='00001' split="):
        ColumnSplit().assign(items)


def test_copies_that_a_column_or_a_file_parts_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = catalog([4], content_hash=["x", "x", "y", "y"], fold=["train", "Dev", "test", "test"])
    parts = ColumnSplit("fold").assign(items)
    pair = "'00000' (train) and '00001' (val)"
    assert (
        f"column 'fold': 1 groups of identical photos lie in several parts, e.g. {pair}"
        in caplog.text
    )
    write_split(items, parts, tmp_path / "split.csv")
    FileSplit(str(tmp_path / "split.csv")).assign(items)
    assert (
        f"{tmp_path / 'split.csv'}: 1 groups of identical photos lie in several parts, e.g. {pair}"
        in caplog.text
    )


def test_one_spelling_of_a_part_is_as_good_as_another(caplog: pytest.LogCaptureFixture) -> None:
    ColumnSplit().assign(catalog([2], content_hash=["x", "x"], split=["val", "Validation"]))
    assert not caplog.records


def test_a_split_column_that_is_missing_is_named() -> None:
    with pytest.raises(SplitError, match=r"'fold'.*\['id', 'label'\]"):
        ColumnSplit("fold").assign(catalog([2]))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[pd.DataFrame], tuple[pd.Series, str]]:
    def write(items: pd.DataFrame) -> tuple[pd.Series, str]:
        parts = StratifiedSplit().assign(items)
        write_split(items, parts, tmp_path / "split.csv")
        return parts, str(tmp_path / "split.csv")

    return write


def test_a_written_split_is_read_back_as_it_was(
    written: Callable[[pd.DataFrame], tuple[pd.Series, str]],
) -> None:
    items = catalog([10] * 5)
    items.loc[[0, 1, 2, 3, 4], "id"] = ["NA", "null", 'a "quoted", id', " 7", "é/ü.jpg"]
    parts, path = written(items)
    pd.testing.assert_series_equal(FileSplit(path).assign(items), parts)
    assert Path(path).read_text(encoding="utf-8").splitlines()[0] == "id,label,split"


def test_a_file_may_know_more_items_than_the_catalog(
    written: Callable[[pd.DataFrame], tuple[pd.Series, str]],
) -> None:
    items = catalog([10] * 5)
    parts, path = written(items)
    fewer = items.iloc[::-3].reset_index(drop=True)
    assert FileSplit(path).assign(fewer).tolist() == parts.iloc[::-3].tolist()


def test_a_file_that_lacks_items_is_refused(
    written: Callable[[pd.DataFrame], tuple[pd.Series, str]],
) -> None:
    items = catalog([10] * 5)
    path = written(items)[1]
    items.loc[[3, 4], "id"] = ["new 1", "new 2"]
    with pytest.raises(
        SplitError, match=r"lacks 2 of the catalog's 50 ids.*\['new 1', 'new 2'\].*draw a new split"
    ):
        FileSplit(path).assign(items)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,part\n00000,train\n", r"\['id', 'part'\]; it needs 'id' and 'split'"),
        ("id,split\n00000,train\n00001,val\n00000,test\n", r"repeats 1 ids, first \['00000'\]"),
        (
            "id,split\n00000,train\n00001,\n",
            r"split.csv: 1 of 2 items are in no part:\n  id='00001'",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SplitError, match=message):
        FileSplit(str(path)).assign(catalog([2]))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"No split file .*gone\.csv"):
        FileSplit(str(tmp_path / "gone.csv")).assign(catalog([2]))
