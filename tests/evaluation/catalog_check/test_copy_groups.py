import numpy as np
import pandas as pd

from vsearch.evaluation.catalog_check.copy_groups import (
    Group,
    by_content,
    components,
    exact_groups,
    group_findings,
    near_groups,
)
from vsearch.evaluation.catalog_check.near_copies import Pairs


def pairs(*found: tuple[int, int, float]) -> Pairs:
    one, other, difference = zip(*found, strict=True) if found else ((), (), ())
    return Pairs(
        np.array(one, dtype=np.int64),
        np.array(other, dtype=np.int64),
        np.array(difference, dtype=float),
    )


def test_rows_of_one_content_stand_together():
    hashes = ["b", None, "a", "b", "c", "a", None]
    assert [rows.tolist() for rows in by_content(hashes)] == [[0, 3], [2, 5], [4]]
    assert [rows.tolist() for rows in by_content(hashes, {0, 4})] == [[2, 5], [3]]
    assert exact_groups(hashes) == [Group((0, 3)), Group((2, 5))]
    assert exact_groups([None, None]) == exact_groups([]) == []


def test_what_is_alike_through_others_is_one_group_with_all_its_rows():
    contents = [np.array(rows) for rows in ([0], [1, 5], [2], [3], [4])]
    found = near_groups(pairs((0, 1, 2), (1, 3, 7), (2, 4, 0)), contents)
    assert found == [Group((0, 1, 3, 5), 7), Group((2, 4), 0)]
    assert near_groups(pairs(), contents) == near_groups(pairs(), []) == []


def test_components_as_by_spreading():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 60, (2, 40))
    number = np.arange(60)
    for _ in range(60):
        for a, b in zip(one, other, strict=True):
            number[a] = number[b] = min(number[a], number[b])
    found = components(Pairs(one, other, np.zeros(40)), 60)
    assert (found[:, None] == found).tolist() == (number[:, None] == number).tolist()


def test_several_lists_of_pairs_become_one():
    joined = Pairs.joined([pairs((0, 1, 2)), pairs(), pairs((1, 2, 3))])
    assert (joined.one.tolist(), joined.other.tolist(), joined.difference.tolist()) == (
        [0, 1],
        [1, 2],
        [2, 3],
    )
    assert len(Pairs.joined([]).one) == 0


def test_a_group_is_a_conflict_or_copies_and_maybe_a_leak():
    items = pd.DataFrame(
        {"label": ["hat", "hat", "cap", "hat"], "part": ["train", "test", "train", ""]}
    )

    def kinds(group: Group, near: bool, items: pd.DataFrame = items) -> list[str]:
        return [finding.kind for finding in group_findings([group], items, near)]

    assert kinds(Group((0, 1)), near=False) == ["copies", "leak"]
    assert kinds(Group((0, 2)), near=False) == ["conflict"]
    assert kinds(Group((1, 2), 3.0), near=True) == ["near-conflict", "near-leak"]
    assert kinds(Group((0, 3), 3.0), near=True) == ["near-copies"]  # the other is in no part
    assert kinds(Group((0, 1)), near=False, items=items.drop(columns="part")) == ["copies"]
