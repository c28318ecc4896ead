import json

import numpy as np
import pytest

from vsearch.class_paths import SpecError
from vsearch.data.photos import Preprocessing
from vsearch.data.views import Flip, View, check_views, embed_views
from vsearch.errors import VsearchError

GREY = (0.5, 0.5, 0.5)


class Shift(View):
    """Moves the photo to the right, round the edge."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        return np.roll(squares, self.pixels, axis=3)


class SometimesFlip(View):
    def __call__(self, squares: np.ndarray) -> np.ndarray:
        return squares[..., ::-1] if np.random.random() < 0.5 else squares


class Crop(View):
    def __call__(self, squares: np.ndarray) -> np.ndarray:
        return squares[..., 1:-1, 1:-1]


def squares(n: int = 5, size: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def first_column(photos: np.ndarray) -> np.ndarray:
    """An embedding that sees where things are."""
    values = photos[:, :, :, 0].reshape(len(photos), -1).astype(np.float32) + 1
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_a_flip_swaps_left_and_right():
    photo = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    assert Flip()(photo)[0, 0].tolist() == [[1, 0], [3, 2]]


def test_an_embedding_is_the_mean_over_the_photo_and_its_views():
    photos = squares()
    found = embed_views(first_column, photos, [Flip(), Shift(1)])
    for photo, vector in zip(photos, found, strict=True):
        seen = [photo, photo[..., ::-1], np.roll(photo, 1, axis=2)]
        mean = sum(first_column(one[None])[0].astype(float) for one in seen) / 3
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert found.dtype == np.float32


def test_without_views_nothing_changes():
    photos = squares()
    assert np.array_equal(embed_views(first_column, photos, []), first_column(photos))


def test_opposite_embeddings_give_no_nan():
    signs = iter((1, -1))

    def embed(photos: np.ndarray) -> np.ndarray:
        return np.full((len(photos), 1), next(signs), np.float32)

    assert embed_views(embed, squares(), [Flip()]).tolist() == [[0.0]] * 5


@pytest.mark.parametrize(
    ("view", "words"), [(SometimesFlip(), "a different result each time"), (Crop(), "(2, 3, 6, 6)")]
)
def test_what_is_no_view_is_refused_by_name(view, words):
    np.random.seed(0)
    with pytest.raises(VsearchError, match=type(view).__name__) as raised:
        check_views([Flip(), view], 8)
    assert words in str(raised.value)


def test_views_are_kept_as_json():
    made = Preprocessing(8, GREY, GREY, views=(Flip(), Shift(2)))
    kept = json.loads(json.dumps(made.to_json()))
    assert kept["views"] == [
        {"class_path": "vsearch.data.views.Flip", "init_args": {}},
        {"class_path": f"{__name__}.Shift", "init_args": {"pixels": 2}},
    ]
    assert Preprocessing(**kept) == made
    assert Preprocessing(**kept) != Preprocessing(8, GREY, GREY, views=(Flip(), Shift(3)))
    assert "views" not in Preprocessing(8, GREY, GREY).to_json()


def test_what_is_no_view_at_all_is_refused():
    with pytest.raises(ValueError, match=r"preprocessing\.views must be a list of views"):
        Preprocessing(8, GREY, GREY, views="Flip")


@pytest.mark.parametrize("path", ["os.system", "vsearch.data.views.embed_views", "torch.nn.ReLU"])
def test_what_a_strangers_bundle_calls_a_view_is_not_run(path):
    with pytest.raises(SpecError, match=path):
        Preprocessing(8, GREY, GREY, views=({"class_path": path, "init_args": {}},))
