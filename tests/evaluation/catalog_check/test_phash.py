import math

import numpy as np

from vsearch.evaluation.catalog_check.phash import GREY, KEPT, SIDE, phash


def naive(square: np.ndarray) -> np.ndarray:
    """DCT-II by its definition, one frequency at a time."""
    grey = square @ GREY.astype(np.float64)
    low = np.empty((KEPT, KEPT))
    for u in range(KEPT):
        for v in range(KEPT):
            row = [math.cos(math.pi * u * (2 * y + 1) / (2 * SIDE)) for y in range(SIDE)]
            column = [math.cos(math.pi * v * (2 * x + 1) / (2 * SIDE)) for x in range(SIDE)]
            low[u, v] = np.array(row) @ grey @ np.array(column)
    return (low > np.median(low)).ravel()


def test_as_by_definition():
    square = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    wrong = np.unpackbits(phash(square)) != naive(square)
    assert wrong.sum() <= 2  # float32 may round the two in the middle the other way


def test_a_wave_sets_its_own_bit():
    """One frequency, (3, 5), and the mean: all others are nothing, and half of the bits are above
    their median.
    """
    place = (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
    wave = 128 + 100 * np.cos(3 * place)[:, None] * np.cos(5 * place)[None]
    bits = np.unpackbits(phash(np.repeat(wave.round().astype(np.uint8)[..., None], 3, 2))).reshape(
        KEPT, KEPT
    )
    assert bits[0, 0]
    assert bits[3, 5]
    inverse = np.unpackbits(
        phash(np.repeat((256 - wave).round().astype(np.uint8)[..., None], 3, 2))
    )
    assert not inverse.reshape(KEPT, KEPT)[3, 5]


def test_brightness_and_contrast_change_hardly_a_bit():
    square = np.random.default_rng(1).integers(40, 160, (SIDE, SIDE, 3), dtype=np.uint8)
    for other in (square + 30, (square * 0.9).round().astype(np.uint8)):
        assert (np.unpackbits(phash(square)) != np.unpackbits(phash(other))).sum() <= 8


def test_other_photos_differ_in_about_half_of_the_bits():
    one, other = np.random.default_rng(2).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    assert 90 < (np.unpackbits(phash(one)) != np.unpackbits(phash(other))).sum() < 166


def test_a_single_colour_has_a_hash_too():
    assert phash(np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)).shape == (32,)
