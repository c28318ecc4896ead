import numpy as np
import pandas as pd
import pytest

from vsearch.training.samplers.random import RandomPlan


def drawn(n: int, p: int, k: int, seed: int = 0) -> list[list[int]]:
    return RandomPlan().epoch(np.arange(n) // 2, pd.DataFrame(), p, k, np.random.default_rng(seed))


@pytest.mark.parametrize(("n", "left"), [(24, 0), (29, 5), (6, 0)])
def test_each_photo_comes_once_but_for_those_that_fill_no_whole_batch(n, left):
    batches = drawn(n, 3, 2)
    assert {len(batch) for batch in batches} == {6}
    positions = [position for batch in batches for position in batch]
    assert len(positions) == len(set(positions)) == n - left
    assert set(positions) <= set(range(n))


def test_labels_are_ignored_so_that_a_batch_may_hold_no_pair():
    pairs = [len({position // 2 for position in batch}) < len(batch) for batch in drawn(2000, 2, 2)]
    assert not all(pairs)


def test_too_few_for_a_batch_give_none():
    assert drawn(5, 3, 2) == []


def test_the_generator_decides():
    assert drawn(100, 4, 4, seed=1) == drawn(100, 4, 4, seed=1) != drawn(100, 4, 4, seed=2)
