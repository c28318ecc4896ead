from collections import Counter

import numpy as np
import pandas as pd
import pytest

from vsearch.training.samplers.category import CategoryPlan, members

LABELS = np.repeat(np.arange(20), 12)
KINDS = np.array(["tops"] * 8 + ["shoes"] * 6 + ["bags"] * 4 + ["rings"] * 2)  # of each label


def drawn(labels, kinds, p: int, k: int, c: int = 2, seed: int = 0, **columns) -> list[list[int]]:
    items = pd.DataFrame(
        {"kind": kinds, **columns}, index=np.arange(len(labels)) * 7 + 3
    )  # catalog rows, not 0 to n-1
    return CategoryPlan("kind", c).epoch(
        np.asarray(labels), items, p, k, np.random.default_rng(seed)
    )


@pytest.mark.parametrize(("p", "k", "c"), [(4, 3, 2), (5, 2, 2), (6, 4, 3), (2, 12, 1), (3, 2, 9)])
def test_a_batch_is_p_labels_of_k_photos_from_few_categories(p, k, c):
    for batch in drawn(LABELS, KINDS[LABELS], p, k, c):
        assert len(set(batch)) == len(batch) == p * k
        photos = Counter(LABELS[batch].tolist())
        assert set(photos.values()) == {k}
        kinds = Counter(KINDS[list(photos)].tolist())
        assert len(kinds) == min(c, p, 4)
        if "rings" not in kinds:  # which has 2 labels only
            assert max(kinds.values()) - min(kinds.values()) <= 1


def test_what_a_category_lacks_comes_from_the_other_chosen_one_and_then_from_others():
    seen = set()
    for seed in range(40):
        for batch in drawn(LABELS, KINDS[LABELS], 8, 2, 2, seed):
            kinds = Counter(KINDS[sorted(set(LABELS[batch].tolist()))].tolist())
            seen.add(tuple(sorted(kinds.items())))
    allowed = {
        (("shoes", 4), ("tops", 4)),
        (("bags", 4), ("tops", 4)),
        (("bags", 4), ("shoes", 4)),
        (("rings", 2), ("tops", 6)),
        (("rings", 2), ("shoes", 6)),
        (("bags", 4), ("rings", 2), ("tops", 2)),  # both chosen are used up: two labels of a third
        (("bags", 4), ("rings", 2), ("shoes", 2)),
    }
    assert seen == allowed


def test_all_labels_when_p_asks_for_all():
    (batch,) = drawn([0, 0, 1, 1, 2, 2], list("aabbcc"), 3, 2, 1)
    assert sorted(batch) == [0, 1, 2, 3, 4, 5]


def test_a_batch_by_hand():
    # categories of one label each, drawn one by one: whatever the order, each label gives its only
    # two photos
    for batch in drawn([5, 9, 5, 9], list("xyxy"), 2, 2):
        assert sorted(batch) == [0, 1, 2, 3]
        assert sorted(batch[:2]) in ([0, 2], [1, 3])


def test_a_small_label_gives_all_its_photos_once():
    labels = np.array([0] * 2 + [1] + [2] * 20)
    batches = drawn(labels, np.where(labels < 2, "few", "many"), 3, 4)
    assert len(batches) == 23 // 12
    for batch in batches:
        assert len(set(batch)) == len(batch)
        assert Counter(labels[batch].tolist()) == {0: 2, 1: 1, 2: 4}


def test_labels_come_about_equally_often_whatever_the_size_of_their_category():
    kinds = np.array(["big"] * 16 + ["small"] * 4)
    counts = Counter(
        label
        for seed in range(300)
        for batch in drawn(LABELS, kinds[LABELS], 2, 2, 1, seed)[:8]
        for label in set(LABELS[batch].tolist())
    )
    assert set(counts) == set(range(20))
    assert max(counts.values()) / min(counts.values()) < 1.4


def test_every_photo_comes_sooner_or_later():
    counts = Counter(
        position
        for seed in range(60)
        for batch in drawn(LABELS, KINDS[LABELS], 4, 3, seed=seed)
        for position in batch
    )
    assert set(counts) == set(range(len(LABELS)))


def test_the_generator_decides():
    one, same, other = (drawn(LABELS, KINDS[LABELS], 4, 3, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def members_one_by_one(codes, kinds) -> list[list[int]]:
    votes: dict[int, dict[str, int]] = {}
    for code, kind in zip(codes, kinds, strict=True):
        votes.setdefault(code, {})
        if kind is not None and kind != "":
            votes[code][kind] = votes[code].get(kind, 0) + 1
    found: dict[str | None, list[int]] = {}
    for code in sorted(votes):
        best = min(votes[code], key=lambda kind: (-votes[code][kind], kind), default=None)
        found.setdefault(best, []).append(code)
    return list(found.values())


@pytest.mark.parametrize("seed", range(20))
def test_a_label_is_of_the_category_of_most_of_its_photos(seed):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.concatenate([np.arange(9), rng.integers(0, 9, 20)]))
    kinds = rng.choice(np.array(["a", "b", "c", "", None], dtype=object), len(codes))
    assert [found.tolist() for found in members(codes, pd.Series(kinds))] == members_one_by_one(
        codes, kinds
    )


def test_categories_may_be_numbers():
    assert [
        found.tolist()
        for found in members(np.array([0, 1, 2, 2]), pd.Series([2.0, 1.0, 2.0, np.nan]))
    ] == [
        [0, 2],
        [1],
    ]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            CategoryPlan("shape"),
            r"`data\.sampler\.init_args\.column`: there is no column 'shape'.*\['kind', 'blank'\]",
        ),
        (
            CategoryPlan("blank"),
            r"`data\.sampler\.init_args\.column`: the column 'blank' is empty.*\['kind', 'blank'\]",
        ),
        (
            CategoryPlan("kind", 0),
            r"`data\.sampler\.init_args\.categories_per_batch` is 0: set it to 1 or more",
        ),
    ],
)
def test_what_it_cant_draw_from_is_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        plan.check(
            pd.DataFrame(
                {"id": ["1", "2"], "kind": ["a", "b"], "blank": [None, ""], "split": "train"}
            )
        )
