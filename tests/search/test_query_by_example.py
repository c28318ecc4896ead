import numpy as np
import pytest

from vsearch.search.query_by_example import ExampleError, combine


def unit(n: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


NONE = unit(0)


@pytest.mark.parametrize(
    ("p", "m", "weight"), [(1, 0, 0.5), (3, 0, 2), (2, 3, 0.5), (4, 1, 0), (1, 5, 1.5)]
)
def test_against_a_loop(p, m, weight):
    positive, negative = unit(p), unit(m, seed=1)
    sums = [
        sum(float(row[i]) for row in positive) / p
        - weight * sum(float(row[i]) for row in negative) / max(m, 1)
        for i in range(6)
    ]
    length = sum(value**2 for value in sums) ** 0.5
    combined = combine(positive, negative, weight)
    assert combined == pytest.approx([value / length for value in sums], abs=1e-6)
    assert combined.dtype == np.float32


def test_by_hand():
    east, north = np.eye(2, dtype=np.float32)
    none = np.zeros((0, 2), np.float32)
    assert combine(east[None], none).tolist() == [1, 0]
    assert combine(np.stack([east, north]), none) == pytest.approx([0.5**0.5] * 2)
    assert combine(east[None], north[None], 1) == pytest.approx([0.5**0.5, -(0.5**0.5)])
    assert combine(east[None], east[None]).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("positive", "negative", "weight", "message"),
    [
        (NONE, unit(2), 0.5, "at least one positive example"),
        (NONE, NONE, 0.5, "at least one positive example"),
        (unit(1), unit(1), 1, "cancel each other out"),
        (np.concatenate([unit(3), -unit(3)]), NONE, 0.5, "cancel each other out"),
        (unit(1), unit(2), -1, "weight is -1"),
        (unit(1), unit(2), float("nan"), "weight is nan"),
    ],
)
def test_what_leaves_no_direction_is_refused(positive, negative, weight, message):
    with pytest.raises(ExampleError, match=message):
        combine(positive, negative, weight)


def test_a_weight_is_that_many_copies():
    positive, negative = unit(2), unit(2, seed=1)
    weighted = combine(positive, negative, 0.5, np.array([3, 1]), np.array([1, 2]))
    copies = combine(positive[[0, 0, 0, 1]], negative[[0, 1, 1]])
    assert weighted == pytest.approx(copies, abs=1e-6)
    assert not np.allclose(weighted, combine(positive, negative), atol=1e-3)


@pytest.mark.parametrize("weight", [0, 0.3, 0.5, 1])
def test_a_text_is_mixed_into_the_query_of_the_examples(weight):
    positive, negative = unit(2), unit(1, seed=1)
    text = unit(1, seed=2)[0]
    examples = combine(positive, negative)
    sums = [(1 - weight) * float(examples[i]) + weight * float(text[i]) for i in range(6)]
    length = sum(value**2 for value in sums) ** 0.5
    mixed = combine(positive, negative, text=text, text_weight=weight)
    assert mixed == pytest.approx([value / length for value in sums], abs=1e-6)
    assert mixed.dtype == np.float32


def test_without_positive_examples_the_text_is_the_only_one():
    text, negative = unit(1)[0], unit(1, seed=1)
    assert combine(NONE, NONE, text=text) == pytest.approx(text, abs=1e-6)
    away = combine(NONE, negative, text=text, text_weight=0.1)
    assert away == pytest.approx(combine(text[None], negative), abs=1e-6)
    none = combine(NONE, NONE, positive_weights=np.array([]), text=text)
    assert none == pytest.approx(text, abs=1e-6)


def test_a_text_is_refused_with_a_wrong_weight_or_if_it_cancels_the_query():
    with pytest.raises(ExampleError, match=r"the text's weight is 1\.5: it must be 0 to 1"):
        combine(unit(1), NONE, text=unit(1)[0], text_weight=1.5)
    with pytest.raises(ExampleError, match="cancel each other out"):
        combine(unit(1), NONE, text=-unit(1)[0])
