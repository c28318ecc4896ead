import pandas as pd
import pytest

from vsearch.data.split_leaks import warn_of_leaks


def said(caplog: pytest.LogCaptureFixture, hashes: list, parts: list[str]) -> str:
    items = pd.DataFrame(
        {"id": [f"id {n}" for n in range(len(parts))], "content_hash": hashes, "split": parts}
    )
    caplog.clear()
    warn_of_leaks(items, "split.csv")
    return caplog.text


def test_groups_in_several_parts_are_counted_with_a_pair(caplog: pytest.LogCaptureFixture) -> None:
    hashes = ["a", "b", "b", "b", "c", "c", "d", "d", "d"]
    parts = ["test", "train", "train", "val", "val", "val", "train", "val", "test"]
    text = said(caplog, hashes, parts)
    assert (
        "split.csv: 2 groups of identical photos lie in several parts, e.g. 'id 1' (train) and "
        "'id 3' (val). " in text
    )
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "hashes", [["a", "a", "b"], [None, "a", None], ["", "a", ""], [None, None, float("nan")]]
)
def test_what_leaks_nothing_is_not_said(caplog: pytest.LogCaptureFixture, hashes: list) -> None:
    assert said(caplog, hashes, ["train", "train", "test"]) == ""


def test_without_hashes_nothing_is_known(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_leaks(pd.DataFrame({"id": ["a", "b"], "split": ["train", "test"]}), "split.csv")
    assert not caplog.records
