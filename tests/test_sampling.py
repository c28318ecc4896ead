from collections import Counter

import numpy as np
import pytest

from vsearch.sampling import PKBatches

LABELS = np.repeat(np.arange(20), 12)


def positions(batches: PKBatches) -> list[list[int]]:
    return [[position for position, _ in batch] for batch in batches]


def test_every_batch_is_p_classes_of_k_different_photos():
    batches = positions(PKBatches(LABELS, p=8, k=4))
    for batch in batches:
        assert len(set(batch)) == len(batch) == 32
        assert set(Counter(LABELS[batch]).values()) == {4}
        assert len(set(LABELS[batch])) == 8


def test_a_pass_has_as_many_photos_as_the_set():
    batches = PKBatches(LABELS, p=8, k=4)
    assert len(batches) == len(list(batches)) == 240 // 32
    assert len(PKBatches(LABELS[:64], p=16, k=4, seed=1)) == 64 // (6 * 4)  # 6 classes among the first 64


def test_a_small_class_gives_each_of_its_photos_once():
    labels = np.array([0] * 2 + [1] + [2] * 20)
    for batch in positions(PKBatches(labels, p=3, k=4)):
        assert len(set(batch)) == len(batch)
        assert Counter(labels[batch]) == {0: 2, 1: 1, 2: 4}


def test_seed_and_epoch_decide_every_draw_and_the_global_generator_is_left_alone():
    epoch = [0]
    batches = PKBatches(LABELS, 8, 4, seed=3, epoch=lambda: epoch[0])
    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    first = list(batches)
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(6)
    assert list(batches) == first
    epoch[0] = 1
    assert list(batches) != first
    assert list(PKBatches(LABELS, 8, 4, seed=4)) != first


def test_augmentation_seeds_differ_within_a_pass():
    seeds = [seed for batch in PKBatches(LABELS, 8, 4) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_p_is_lowered_to_the_number_of_classes():
    assert PKBatches(LABELS, p=50, k=4).p == 20


@pytest.mark.parametrize("labels", [[], [0] * 100, [0, 1]])
def test_too_little_for_a_batch_is_refused_with_the_numbers(labels):
    with pytest.raises(ValueError, match=rf"K=4 photos.*{len(labels)} photos"):
        PKBatches(labels, p=16, k=4)
