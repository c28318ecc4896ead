import time

import numpy as np
import pytest

from vsearch.indexes.stores.serials import RANGES, Where, first_serial, where


def fulfils(condition: Where, candidates: np.ndarray) -> np.ndarray:
    """The naive oracle: one serial after the other."""
    if condition.listed is not None:
        return np.array([one for one in candidates if one in set(condition.listed.tolist())])
    hidden = set(condition.hidden)
    inside = [any(first <= one <= last for first, last in condition.ranges) for one in candidates]
    return np.array(
        [
            one
            for one, within in zip(candidates, inside, strict=True)
            if within and one not in hidden
        ]
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_condition_is_fulfilled_by_its_serials_and_no_others(seed):
    rng = np.random.default_rng(seed)
    blocks = np.sort(rng.integers(0, 10**15, rng.integers(1, 60)))
    there = np.unique((blocks[:, None] + np.arange(rng.integers(1, 30))).ravel())
    serials = there[rng.random(len(there)) < rng.choice([0.02, 0.5, 0.98, 1])]
    serials = serials if len(serials) else there[:1]
    condition = where(serials, 10**9)
    np.testing.assert_array_equal(fulfils(condition, there), serials)
    assert len(condition.ranges) <= RANGES
    assert set(serials) <= set(fulfils(where(serials, 0), there))


def test_the_shorter_of_listing_and_hiding_is_taken():
    every = np.arange(1000) + 7
    assert where(every, 10).ranges == ((7, 1006),)
    assert len(where(every, 10).hidden) == 0
    without = np.delete(every, [5, 500])
    assert where(without, 10).listed is None
    assert where(without, 10).ranges[0] == (
        7,
        11,
    )  # a cut at the gap says it shorter than a hidden serial
    assert where(every[:3], 10).ranges == ((7, 9),)


def test_many_gaps_become_hidden_serials_and_few_serials_a_list():
    odd = np.arange(1, 2000, 2)
    assert where(odd, 100).loose
    assert len(where(odd, 100).hidden) == 0
    assert where(odd, 1000).listed is not None or len(where(odd, 1000).hidden) <= 1000
    few = np.arange(0, 10**9, 10**7)
    np.testing.assert_array_equal(where(few, 100).listed, few)
    rest = np.delete(np.arange(10_000), np.arange(0, 10_000, 100))
    assert len(where(rest, 100).hidden) == 100 - RANGES + 1 - 1  # the first is outside


def test_serials_rise_with_time_and_never_come_again():
    now = first_serial(0)
    assert (
        first_serial(now + 5_000_000) == now + 5_000_001
    )  # a large write has run ahead of the clock
    time.sleep(0.002)
    assert first_serial(0) > now
    assert 0 < now < 2**62
