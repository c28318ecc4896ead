import pandas as pd
import pytest

from vsearch.data.splits import ColumnSplit, LabelDisjointSplit, Split, SplitError, StratifiedSplit
from vsearch.training.checks.catalog_parts import check_pairs


def products(n: int, photos: int) -> pd.DataFrame:
    rows = [
        {"id": f"{label}-{photo}", "label": f"{label}", "label_code": label}
        for label in range(n)
        for photo in range(photos)
    ]
    return pd.DataFrame(rows)


def check(items: pd.DataFrame, split: Split) -> None:
    items = items.assign(split=split.assign(items))
    for part in ("train", "val"):
        check_pairs(part, items, split)


@pytest.mark.parametrize("photos", [2, 3])
@pytest.mark.parametrize("train", [0.8, 0.6])
def test_few_photos_a_label_are_told_of_the_split_that_keeps_labels_whole(photos, train):
    items = products(40, photos)
    settings = {"train": train, "val": 0.9 - train, "test": 0.1}
    with pytest.raises(SplitError, match=rf"more than {photos} photos\..*LabelDisjointSplit"):
        check(items, StratifiedSplit(**settings))
    check(items, LabelDisjointSplit(**settings))


def test_a_given_split_is_to_be_corrected():
    items = products(10, 3)
    first = items["id"].str.endswith("-0")
    items["split"] = first.map({True: "val", False: "train"})
    with pytest.raises(SplitError, match=r"val part\. Move photos of one label into it"):
        check(items, ColumnSplit())
