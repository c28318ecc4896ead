from itertools import product

import numpy as np
import pandas as pd
import pytest

from vsearch.evaluation.naive_split import claimed, count_copies


def test_copies_by_hand():
    hashes = pd.Series(["a", "b", "a", "a", "c", "b"], index=[10, 11, 12, 13, 14, 15])
    labels = pd.Series([0, 1, 0, 2, 0, 1], index=hashes.index)
    copies, right = count_copies(hashes, labels, np.array([10, 13, 14, 15]))
    assert copies.tolist() == [2, 2, 0, 1]
    assert right.tolist() == [1, 0, 0, 1]
    copies, right = count_copies(hashes, labels, np.array([10, 13]), pd.Index([10, 12]))
    assert copies.tolist() == [1, 2]
    assert right.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("copies", "right", "clean"), [(0, 0, 0.0), (1, 1, 0.0), (1, 0, 1.0), (3, 2, 0.0), (4, 1, 1.0)]
)
def test_what_is_claimed_against_every_way_to_split(copies, right, clean):
    share, expected = 0.8, 0.0
    kinds = [1.0] * right + [0.0] * (copies - right)
    for there in product([True, False], repeat=copies):
        chance = np.prod([share if one else 1 - share for one in there]) if copies else 1.0
        present = [kind for kind, one in zip(kinds, there, strict=True) if one]
        expected += chance * (np.mean(present) if present else clean)
    found = claimed(np.array([clean]), np.array([copies]), np.array([right]), share)
    assert found == pytest.approx([expected])


def test_without_copies_nothing_changes():
    clean = np.array([0.0, 1.0, 1.0])
    assert np.array_equal(claimed(clean, np.zeros(3), np.zeros(3), 0.8), clean)
