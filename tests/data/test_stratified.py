from collections import Counter

import numpy as np
import pandas as pd
import pytest

from vsearch.data.stratified import stratified


def test_a_sample_is_stratified_in_every_beginning():
    labels = np.repeat(["many", "some", "few"], [800, 195, 5])
    found = stratified(labels, 200, 3, 0)
    assert len(set(found.tolist())) == 200
    counts = Counter(labels[found])
    assert counts["few"] == 3
    assert counts["many"] == pytest.approx(160, abs=4)
    assert Counter(labels[found[:9]]) == {"many": 3, "some": 3, "few": 3}
    assert Counter(labels[found[:100]])["many"] == pytest.approx(75, abs=5)
    assert np.array_equal(found, stratified(labels, 200, 3, 0))
    assert not np.array_equal(found, stratified(labels, 200, 3, 1))


def test_a_sample_of_all_is_all():
    assert sorted(stratified(np.array(["a", "b", "a"]), 10, 3, 0)) == [0, 1, 2]


def test_each_label_has_its_share_of_the_items_drawn():
    labels = np.array(["a"] * 900 + ["b"] * 90 + ["c"] * 9 + ["d"])
    chosen = stratified(labels, 100, 1, 0)
    counts = pd.Series(labels[chosen]).value_counts()
    assert counts.to_dict() == pytest.approx({"a": 90, "b": 9, "c": 1, "d": 1}, abs=1)
    assert counts["d"] == 1
    assert np.array_equal(chosen, stratified(labels, 100, 1, 0))
    assert not np.array_equal(chosen, stratified(labels, 100, 1, 1))
    assert sorted(stratified(labels, 10_000, 1, 0)) == [*range(1000)]
    assert stratified(labels[:1], 5, 1, 0).tolist() == [0]
