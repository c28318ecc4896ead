from collections import Counter

import numpy as np
import pandas as pd
import pytest
from pytorch_metric_learning.samplers import MPerClassSampler

from vsearch.training.samplers.pk import PKPlan

LABELS = np.repeat(np.arange(20), 12)


def drawn(labels, p: int, k: int, seed: int = 0) -> list[list[int]]:
    return PKPlan().epoch(np.asarray(labels), pd.DataFrame(), p, k, np.random.default_rng(seed))


def test_every_batch_is_p_classes_of_k_different_photos():
    for batch in drawn(LABELS, p=8, k=4):
        assert len(set(batch)) == len(batch) == 32
        assert set(Counter(LABELS[batch]).values()) == {4}
        assert len(set(LABELS[batch])) == 8


@pytest.mark.parametrize("seed", [0, 7])
def test_batches_are_those_of_m_per_class_sampler_with_each_photo_once(seed):
    labels = np.random.default_rng(1).integers(0, 12, 70)
    np.random.seed(np.random.default_rng(seed).integers(2**32))
    expected = []
    for number, position in enumerate(MPerClassSampler(labels, 5, 20, len(labels))):
        if number % 20 == 0:
            expected.append([])
        if position not in expected[-1]:
            expected[-1].append(position)
    assert drawn(labels, 4, 5, seed) == expected
    assert len(expected) == 70 // 20


def test_a_small_class_gives_each_of_its_photos_once():
    labels = np.array([0] * 2 + [1] + [2] * 20)
    for batch in drawn(labels, p=3, k=4):
        assert len(set(batch)) == len(batch)
        assert Counter(labels[batch]) == {0: 2, 1: 1, 2: 4}
