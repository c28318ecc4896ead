import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsearch.data.catalogs.photo_files import content_of, extension_of
from vsearch.data.photos import FORMATS


@pytest.mark.parametrize("form", FORMATS)
def test_the_first_bytes_tell_every_format_that_can_be_opened(form: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3, 3)).save(stream, form)
    assert extension_of(stream.getvalue()) == {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\n\n\n\nWAVE", b" \x89PNG"])
def test_other_bytes_tell_nothing(content: bytes) -> None:
    assert extension_of(content) == "bin"


def test_bytes_come_before_the_path(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"beside")
    assert content_of({"bytes": b"inside", "path": str(tmp_path / "a")}) == b"inside"
    assert content_of({"bytes": None, "path": str(tmp_path / "a")}) == b"beside"
    assert content_of({"bytes": None, "path": str(tmp_path / "gone")}) == b""
    assert content_of({"bytes": None, "path": None}) == content_of(None) == b""


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4)])
def test_whole_numbers_up_to_255_are_pixels(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape)
    with Image.open(io.BytesIO(content_of(values.tolist()))) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(
            np.asarray(image), values.reshape(shape[:2]) if shape[2:] == (1,) else values
        )


@pytest.mark.parametrize(
    "array", [[[256]], [[-1]], [[0.5]], [[True]], [["red"]], [1, 2], 7, [], [[]], [[[1] * 9]]]
)
def test_other_arrays_are_no_images(array: object) -> None:
    assert content_of(array) == b""
