import io

import numpy as np
from PIL import Image

from benchmarks.street_photos import MARK, SIDE, Way, best, ranks, street_photo


def drawn(seed: int) -> np.ndarray:
    """A street photo of a black square on white, on a green background."""
    product = Image.new("RGB", (60, 80), "white")
    product.paste((0, 0, 0), (10, 20, 50, 60))
    data = street_photo(product, Image.new("RGB", (40, 30), "green"), np.random.default_rng(seed))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_the_product_is_cut_out_and_its_size_and_place_are_drawn():
    shares = []
    for seed in range(20):
        pixels = drawn(seed)
        assert pixels.shape == (SIDE, SIDE, 3)
        assert not (pixels == MARK).all(axis=2).any()
        is_green = pixels[..., 1] - pixels[..., 0] > 60  # also where the product's photo is white
        shares.append(1 - is_green.mean())
    # the square covers a third of the product's photo, whose frame covers 0.3 to 0.6
    assert 0.05 < min(shares) < max(shares) < 0.25
    assert np.array_equal(drawn(3), drawn(3))


def test_ranks_are_those_of_comparing_every_pair_of_parts():
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(4, 2, 3)).astype(np.float32)
    items = rng.normal(size=(6, 5, 3)).astype(np.float32)
    right = np.array([0, 5, 2, 2])
    scores = best(queries, items)
    found = ranks(scores, right)
    for row, query in enumerate(queries):
        own = [max(float(q @ v) for q in query for v in item) for item in items]
        np.testing.assert_allclose(scores[row], own, rtol=1e-5)
        assert found[row] == sum(one > own[right[row]] for one in own)


def test_cells_say_the_share_and_the_gain_over_whole_photos():
    whole = Way("whole", np.array([0, 5, 20, 20]), 1, 1.0)
    parts = Way("parts", np.array([0, 0, 5, 20]), 5, 2.0)
    first, tenth = parts.cells(whole, slice(None))
    assert first.startswith("0.500 (+0.250 [")
    assert tenth.startswith("0.750 (+0.250 [")
