import numpy as np
import pytest
from PIL import Image

from vsearch.class_paths import describe
from vsearch.data.photos import Preprocessing, read_square, to_square
from vsearch.data.regions import Grid, pixels

PLAIN = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_windows_without_overlap_lie_side_by_side():
    assert Grid(2).boxes == (
        (0.0, 0.0, 0.5, 0.5),
        (0.5, 0.0, 1.0, 0.5),
        (0.0, 0.5, 0.5, 1.0),
        (0.5, 0.5, 1.0, 1.0),
    )


def test_larger_windows_overlap_and_reach_both_ends():
    boxes = np.array(Grid(3, share=0.5).boxes)
    assert len(boxes) == 9
    np.testing.assert_allclose(boxes[:3, 0], [0, 0.25, 0.5])
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], 0.5)
    np.testing.assert_allclose(boxes[-1], [0.5, 0.5, 1, 1])


@pytest.mark.parametrize(("side", "share"), [(1, None), (9, None), (2, 0.4), (2, 1.0), (3, -1)])
def test_grids_that_cover_nothing_or_all_are_refused(side, share):
    with pytest.raises(ValueError, match=r"side|share"):
        Grid(side, share)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 5)])
def test_a_region_has_at_least_one_pixel_inside_the_photo(size):
    for region in Grid(4).boxes:
        left, top, right, bottom = pixels(region, *size)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


@pytest.fixture(params=["png", "jpg"])
def path(request, tmp_path):
    numbers = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(numbers).resize((200, 120))
    photo.save(tmp_path / f"photo.{request.param}")
    return tmp_path / f"photo.{request.param}"


def test_a_region_is_read_from_the_photo_itself(path):
    part = Image.open(path).convert("RGB").crop((100, 0, 200, 60))
    found = read_square(path, PLAIN, region=(0.5, 0.0, 1.0, 0.5))
    assert np.abs(found.astype(int) - to_square(part, PLAIN)).mean() < 3


def test_a_region_of_a_box_is_relative_to_the_box(path):
    part = Image.open(path).convert("RGB").crop((40, 50, 60, 90))
    found = read_square(path, PLAIN, box=(40, 10, 80, 90), region=(0.0, 0.5, 0.5, 1.0))
    np.testing.assert_array_equal(found, to_square(part, PLAIN))


def test_the_preprocessing_keeps_the_regions():
    kept = Preprocessing(16, (0.5,) * 3, (0.5,) * 3, index_views=Grid(2, 0.6))
    assert Preprocessing(**kept.to_json()) == kept
    assert kept.to_json()["index_views"] == describe(Grid(2, 0.6))
    assert kept.regions == (None, *Grid(2, 0.6).boxes)
    assert "index_views" not in PLAIN.to_json()
    assert PLAIN.regions == (None,)
