import numpy as np
import pandas as pd
import pytest

from vsearch.training.samplers.base import BatchPlan
from vsearch.training.samplers.batches import EpochBatches
from vsearch.training.samplers.category import CategoryPlan
from vsearch.training.samplers.pk import PKPlan
from vsearch.training.samplers.random import RandomPlan

LABELS = np.repeat(np.arange(20), 12)
ITEMS = pd.DataFrame({"kind": LABELS % 3})
PLANS = [PKPlan(), CategoryPlan("kind"), RandomPlan()]


class Fixed(BatchPlan):
    """The same batches always."""

    def __init__(self, *batches: list[int]) -> None:
        self.batches = list(batches)

    def epoch(self, labels, items, p, k, rng):
        return self.batches


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_seed_and_epoch_decide_every_draw_and_the_global_generator_is_left_alone(plan):
    epoch = [0]
    batches = EpochBatches(plan, LABELS, 8, 4, seed=3, epoch=lambda: epoch[0], items=ITEMS)
    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    first = list(batches)
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(6)
    assert list(batches) == first
    epoch[0] = 1
    assert list(batches) != first
    assert list(EpochBatches(plan, LABELS, 8, 4, seed=4, items=ITEMS)) != first


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_a_pass_has_as_many_photos_as_the_set(plan):
    batches = EpochBatches(plan, LABELS, p=8, k=4, items=ITEMS)
    assert len(batches) == len(list(batches)) == 240 // 32
    few = EpochBatches(plan, LABELS[:64], p=16, k=4, seed=1, items=ITEMS[:64])
    assert (
        len(few) == len(list(few)) == 64 // ((6 if plan.by_label else 16) * 4)
    )  # 6 classes among the first 64
    for batch in batches:
        positions = [position for position, _ in batch]
        assert len(set(positions)) == len(positions) == 32
        assert {type(position) for position in positions} == {int}


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
def test_ranks_share_the_batches_that_one_process_draws(plan, world):
    def drawn(p: int, rank: int, world: int) -> list[list[tuple[int, int]]]:
        return list(EpochBatches(plan, LABELS, p, 4, 1, lambda: 2, ITEMS, rank, world))

    whole, shares = drawn(2 * world, 0, 1), [drawn(2, rank, world) for rank in range(world)]
    assert len(whole) == len(shares[0]) == 240 // (8 * world)
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(one for part in parts for one in part) == sorted(batch)
        assert [len(part) for part in parts] == [8] * world
        labels = [set(LABELS[[position for position, _ in part]]) for part in parts]
        if plan.by_label:
            assert [len(own) for own in labels] == [2] * world
            assert len(set.union(*labels)) == 2 * world


def test_on_many_ranks_p_is_lowered_evenly_and_too_few_classes_are_refused():
    assert EpochBatches(PKPlan(), LABELS, p=16, k=4, rank=1, world=3).p == 20 // 3
    with pytest.raises(ValueError, match="on 21 devices need 21 classes"):
        EpochBatches(PKPlan(), LABELS, p=2, k=4, world=21)
    with pytest.raises(ValueError, match=r"Fixed\.epoch: a batch has too few labels for 2 devices"):
        list(EpochBatches(Fixed([0, 2], [0, 2]), [0, 1] * 4, p=1, k=2, rank=1, world=2))


def test_set_epoch_draws_that_epoch():
    one, other = (
        EpochBatches(PKPlan(), LABELS, 8, 4),
        EpochBatches(PKPlan(), LABELS, 8, 4, epoch=lambda: 3),
    )
    one.set_epoch(3)
    assert list(one) == list(other)


def test_the_first_draw_of_a_run_stays_what_it_was():
    (first, *rest) = EpochBatches(PKPlan(), np.arange(12) % 4, 2, 2, seed=3, epoch=lambda: 1)
    assert first == [
        (8, 3755731187556157405),
        (0, 3148560210468381428),
        (9, 3942487709822329927),
        (5, 4969196405016256554),
    ]
    assert [position for batch in rest for position, _ in batch] == [6, 10, 5, 1, 8, 4, 1, 9]


def test_augmentation_seeds_differ_within_a_pass():
    seeds = [seed for batch in EpochBatches(PKPlan(), LABELS, 8, 4) for _, seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_p_is_lowered_to_the_number_of_classes_and_to_what_the_photos_fill():
    assert EpochBatches(PKPlan(), LABELS, p=50, k=4).p == 20
    assert EpochBatches(PKPlan(), np.arange(20) % 10, p=10, k=4).p == 5


def test_of_a_plan_that_is_not_by_label_p_is_lowered_to_what_the_photos_fill_alone():
    assert EpochBatches(RandomPlan(), LABELS, p=50, k=4).p == 50
    assert EpochBatches(RandomPlan(), LABELS, p=500, k=4).p == 60


@pytest.mark.parametrize("plan", [PKPlan(), RandomPlan()], ids=lambda plan: type(plan).__name__)
@pytest.mark.parametrize("labels", [[], [0] * 100, [0, 1]])
def test_too_little_for_a_batch_is_refused_with_the_numbers(labels, plan):
    with pytest.raises(ValueError, match=rf"K=4 photos.*{len(labels)} photos"):
        EpochBatches(plan, labels, p=16, k=4)


@pytest.mark.parametrize("batches", [[[0, 1]], [[0, 1, 0, 2]] * 2, []])
def test_a_plan_that_breaks_its_promise_is_named(batches):
    with pytest.raises(
        ValueError, match=rf"Fixed.epoch must return 2 batches.*returned {len(batches)}"
    ):
        list(EpochBatches(Fixed(*batches), [0, 1] * 4, p=2, k=2))
    assert len(list(EpochBatches(Fixed([0, 1], [1, 2]), [0, 1] * 4, p=2, k=2))) == 2


def test_a_plan_that_cant_use_the_items_is_refused_at_once():
    with pytest.raises(ValueError, match=r"no column 'shape'.*\['kind'\]"):
        EpochBatches(CategoryPlan("shape"), LABELS, 8, 4, items=ITEMS)
