import base64
import os
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adversarial.photos import NOT_PHOTOS, NOTES, PICTURE, encode, large, noted, png
from PIL import Image

from vsearch.data.photos import (
    FORMATS,
    MAX_PIXELS,
    PhotoError,
    Preprocessing,
    open_photo,
    pixel_hash,
    read_square,
    to_square,
)

PREPROCESSING = Preprocessing(size=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
GREYS = np.array([[0, 257, 32896, 65535]])  # 16-bit: 257 times 0, 1, 128, 255


def tiff(width: int, bits: int, photometric: int, data: bytes, sample_format: int = 1) -> bytes:
    """A little-endian, one-row grey TIFF by hand, for what Pillow can't write."""
    tags = {
        256: width,
        257: 1,
        258: bits,
        259: 1,
        262: photometric,
        273: 0,
        277: 1,
        278: 1,
        279: len(data),
    }
    tags[339] = sample_format
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + data


def pixels(data: bytes, **options: Any) -> list[list[int]]:
    return np.asarray(open_photo(data, **options)).reshape(-1, 3).tolist()


def grey(*values: int) -> list[list[int]]:
    return [[value] * 3 for value in values]


@pytest.mark.parametrize("form", FORMATS)
def test_each_allowed_format_opens_in_rgb(form: str) -> None:
    photo = open_photo(encode(np.full((5, 3, 3), 100, np.uint8), form))
    assert (photo.mode, photo.size) == ("RGB", (3, 5))
    assert abs(np.asarray(photo).astype(int) - 100).max() <= 2


def test_lossless_rgb_is_untouched() -> None:
    assert (np.asarray(open_photo(encode(PICTURE))) == PICTURE).all()


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF 2.3: what undoes each orientation
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_against_numpy(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = np.asarray(open_photo(encode(PICTURE, form, exif=exif)))
    np.testing.assert_array_equal(photo, UPRIGHT[orientation](PICTURE))


def test_exif_orientation_of_a_jpeg_and_of_16_bits() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_photo(encode(PICTURE, "JPEG", exif=exif)).size == (6, 4)
    assert pixels(encode(GREYS.astype(np.uint16).T, exif=exif)) == grey(255, 128, 1, 0)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_photo(form: str) -> None:
    plain = open_photo(encode(PICTURE, form))
    damaged = open_photo(encode(PICTURE, form, exif=b"Exif\0\0no such thing"))
    np.testing.assert_array_equal(np.asarray(damaged), np.asarray(plain))


def test_orientation_counts_beside_a_damaged_tag() -> None:
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    text_for_a_number = struct.pack("<HHI4s", 0x0111, 2, 4, b"abc")
    exif = (
        b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + orientation + text_for_a_number + b"\0\0\0\0"
    )
    np.testing.assert_array_equal(
        np.asarray(open_photo(encode(PICTURE, exif=exif))), UPRIGHT[6](PICTURE)
    )


def test_two_photos_in_one_jpeg_give_the_first() -> None:
    data = encode(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert open_photo(data).size == (4, 6)


def test_grey_and_one_bit() -> None:
    assert pixels(encode(np.array([[0, 7, 255]], np.uint8))) == grey(0, 7, 255)
    assert pixels(encode(np.array([[False, True]]))) == grey(0, 255)


def palette_photo() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    return image


def test_palette_with_and_without_transparency() -> None:
    red, green, blue, fill = [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]
    assert pixels(encode(palette_photo())) == [red, green, blue]
    assert pixels(encode(palette_photo(), transparency=1), fill=(9, 8, 7)) == [red, fill, blue]
    half = pixels(encode(palette_photo(), transparency=bytes([255, 0, 128])), fill=(9, 8, 7))
    assert half[:2] == [red, fill]
    np.testing.assert_allclose(half[2], [4.5, 4, 131.5], atol=1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 100, 0)), ("LA", (60,))])
def test_alpha_is_composited_on_the_fill(mode: str, colour: tuple[int, ...], form: str) -> None:
    image = Image.new(mode, (3, 1))
    image.putdata([(*colour, alpha) for alpha in (0, 51, 255)])
    full = np.array(colour if len(colour) == 3 else colour * 3)
    fill = np.array([10, 250, 30])
    for got, share in zip(
        pixels(encode(image, form), fill=(10, 250, 30)), (0, 0.2, 1), strict=True
    ):
        np.testing.assert_allclose(got, share * full + (1 - share) * fill, atol=1)


def test_alpha_is_white_behind_unless_told() -> None:
    assert pixels(encode(Image.new("RGBA", (1, 1), (0, 0, 0, 0)))) == grey(255)


@pytest.mark.parametrize(
    "form", ["JPEG", "TIFF"]
)  # Pillow's CMYK JPEG is stored inverted, as Adobe does
@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0))],
)
def test_cmyk(cmyk: tuple[int, ...], rgb: tuple[int, ...], form: str) -> None:
    data = encode(Image.new("CMYK", (8, 8), cmyk), form)
    assert (b"Adobe" in data) == (form == "JPEG")
    np.testing.assert_allclose(pixels(data)[0], rgb, atol=3)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(form: str) -> None:
    assert pixels(encode(GREYS.astype(np.uint16), form)) == grey(0, 1, 128, 255)


def test_16_bit_grey_rounds_like_the_naive_quotient() -> None:
    values = np.arange(0, 65536, 13, dtype=np.uint16)[None]
    assert pixels(encode(values)) == grey(*(round(int(v) / 257) for v in values[0]))


def test_16_bit_big_endian_tiff() -> None:
    image = Image.frombytes("I;16B", (4, 1), GREYS.astype(">u2").tobytes())
    assert pixels(encode(image, "TIFF")) == grey(0, 1, 128, 255)


def test_16_bit_colour_alpha_and_transparent_grey() -> None:
    colour = np.stack([GREYS[0], GREYS[0], GREYS[0, ::-1]], axis=-1).astype(">u2").tobytes()
    assert pixels(png(4, 1, 16, 2, b"\0" + colour)) == [
        [0, 0, 255],
        [1, 1, 128],
        [128, 128, 1],
        [255, 255, 0],
    ]
    alpha = np.array([[65535, 0], [257, 65535]]).astype(">u2").tobytes()
    assert pixels(png(2, 1, 16, 4, b"\0" + alpha), fill=(9, 9, 9)) == grey(9, 1)
    clear = png(
        4, 1, 16, 0, b"\0" + GREYS.astype(">u2").tobytes(), transparent=struct.pack(">H", 32896)
    )
    assert pixels(clear, fill=(9, 9, 9)) == grey(0, 1, 9, 255)


def test_12_bit_and_inverted_tiff_keep_black_and_white() -> None:
    assert pixels(tiff(2, 12, 1, bytes([0xFF, 0xF8, 0x00]))) == grey(255, 128)
    assert pixels(tiff(4, 16, 0, GREYS.astype("<u2").tobytes())) == grey(255, 254, 127, 0)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_unknown_range_is_refused(kind: type) -> None:
    with pytest.raises(PhotoError, match="unknown black and white"):
        open_photo(encode(GREYS.astype(kind), "TIFF"))


def test_signed_16_bits_are_refused() -> None:
    with pytest.raises(PhotoError, match="unknown black and white"):
        open_photo(tiff(4, 16, 1, GREYS.astype("<u2").tobytes(), sample_format=2))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_animation_gives_the_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encode(frames[0], form, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(pixels(data), [[255, 0, 0]] * 16, atol=5)


VARIANTS: list[tuple[str, dict[str, Any]]] = [(form, {}) for form in FORMATS]
VARIANTS += [
    ("JPEG", {"progressive": True}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True}),
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(("form", "options"), VARIANTS)
def test_a_cut_off_photo_is_refused_or_whole(form: str, options: dict[str, Any]) -> None:
    data = encode(
        np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8), form, **options
    )
    whole, refused = pixels(data), 0
    for length in [*range(0, len(data), 29), len(data) - 2, len(data) - 1]:
        try:
            assert pixels(data[:length]) == whole
        except PhotoError:
            refused += 1
    assert refused >= len(data) * 0.8 // 29


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_raises_nothing_but_photo_errors(form: str) -> None:
    rng = np.random.default_rng(2)
    data = np.frombuffer(encode(PICTURE, form), np.uint8)
    refused = 0
    for _ in range(200):
        damaged = data.copy()
        damaged[rng.integers(0, len(data), 5)] = rng.integers(0, 256, 5)
        try:
            open_photo(damaged.tobytes(), max_pixels=10_000)
        except PhotoError:
            refused += 1
    assert refused > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "side", [9_700, 12_000, 60_000]
)  # Pillow alone: a warning, a warning, an error
def test_bomb_is_refused_by_its_header(side: int) -> None:
    limit = min(MAX_PIXELS, side * side - 1)
    with pytest.raises(PhotoError, match=r"pixels.*Make it smaller"):
        open_photo(png(side, side, 8, 2, b""), max_pixels=limit)


def test_a_large_photo_opens_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # from here on Pillow warns
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert open_photo(encode(PICTURE)).size == (4, 6)
    assert not caught


def test_the_warning_filters_of_other_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    pillows_open = Image.open

    def another_thread_filters(*given: Any, **named: Any) -> Image.Image:
        warnings.simplefilter("ignore", BytesWarning)
        return pillows_open(*given, **named)

    monkeypatch.setattr(Image, "open", another_thread_filters)
    open_photo(encode(PICTURE))
    assert ("ignore", None, BytesWarning, None, 0) in warnings.filters


def test_pixel_limit_is_inclusive() -> None:
    data = encode(PICTURE)
    assert open_photo(data, max_pixels=24).size == (4, 6)
    with pytest.raises(PhotoError, match="4 x 6 pixels; 23 "):
        open_photo(data, max_pixels=23)


@pytest.mark.parametrize(
    "data", [*NOT_PHOTOS, encode(PICTURE, "ICO"), encode(PICTURE, "PPM"), encode(PICTURE, "EPS")]
)
def test_other_formats_are_refused_with_the_allowed_ones(data: bytes) -> None:
    with pytest.raises(PhotoError, match="<bytes>: not one of JPEG, PNG, WEBP, GIF, BMP, TIFF"):
        open_photo(data)


def test_error_names_the_file_and_its_kind(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.jpg: no such file"):
        open_photo(tmp_path / "gone.jpg")
    with pytest.raises(PhotoError, match=r"a folder, not a photo"):
        open_photo(tmp_path)
    (tmp_path / "half.png").write_bytes(encode(PICTURE)[:-40])
    with pytest.raises(PhotoError, match=r"half\.png: cannot be read .*intact copy"):
        open_photo(str(tmp_path / "half.png"))


@pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)
def test_file_is_closed_and_pixels_stay(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encode(PICTURE))
    photo = open_photo(path)
    path.unlink()
    assert (np.asarray(photo) == PICTURE).all()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((1, 2, 3, 5), slice(2, 5), slice(1, 3)),
        ((0, 0, 4, 6), slice(0, 6), slice(0, 4)),
        ((-9, -9, 2, 99), slice(0, 6), slice(0, 2)),  # partly outside: clipped
        ((1.2, 2.9, 1.3, 3.0), slice(2, 3), slice(1, 2)),  # widened to whole pixels
    ],
)
def test_box(box: tuple[float, float, float, float], rows: slice, columns: slice) -> None:
    np.testing.assert_array_equal(
        np.asarray(open_photo(encode(PICTURE), box)), PICTURE[rows, columns]
    )


@pytest.mark.parametrize(
    "box",
    [
        (4, 0, 9, 6),
        (-5, 0, 0, 6),
        (2, 2, 2, 5),
        (3, 2, 1, 5),
        (1.5, 2, 1.5, 5),
        (1, 2.7, 3, 2.2),
        (0, 0, float("nan"), 3),
        (0, 0, float("inf"), 3),
    ],
)
def test_empty_or_outside_box_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(PhotoError, match=r"<bytes>: box .* holds no pixel of the photo \(4 x 6\)"):
        open_photo(encode(PICTURE), box)


def test_box_counts_in_the_upright_photo() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = open_photo(encode(PICTURE, exif=exif), (4, 1, 6, 3))
    np.testing.assert_array_equal(np.asarray(photo), np.rot90(PICTURE, -1)[1:3, 4:6])


def test_square_of_a_square_photo_is_its_pixels() -> None:
    square = to_square(Image.fromarray(PICTURE[:4]), Preprocessing(4, (0, 0, 0), (1, 1, 1)))
    assert (square.dtype, square.shape) == (np.uint8, (3, 4, 4))
    assert square.flags.c_contiguous
    assert square.flags.writeable
    np.testing.assert_array_equal(square.transpose(1, 2, 0), PICTURE[:4])


def test_square_keeps_the_aspect_and_pads_in_the_middle() -> None:
    square = to_square(
        Image.new("RGB", (40, 20), (1, 2, 3)),
        Preprocessing(8, (0, 0, 0), (1, 1, 1), fill=(9, 8, 7)),
    )
    for channel, (inside, fill) in enumerate([(1, 9), (2, 8), (3, 7)]):
        rows = [fill] * 2 + [inside] * 4 + [fill] * 2
        assert square[channel].tolist() == [[value] * 8 for value in rows]
    portrait = to_square(Image.new("RGB", (20, 40), (1, 2, 3)), PREPROCESSING)
    assert portrait[0].tolist() == [[255, 255, 1, 1, 1, 1, 255, 255]] * 8


@pytest.mark.parametrize(
    ("size", "shape"), [((1, 500), (8, 1)), ((500, 1), (1, 8)), ((1, 1), (8, 8)), ((2, 4), (8, 4))]
)
def test_extreme_photos_keep_a_pixel(size: tuple[int, int], shape: tuple[int, int]) -> None:
    inside = to_square(Image.new("RGB", size, (0, 0, 0)), PREPROCESSING)[0] == 0
    assert (int(inside.any(1).sum()), int(inside.any(0).sum())) == shape


def test_halving_averages_and_interpolations_differ() -> None:
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (16, 8))).convert("RGB")
    bilinear = to_square(stripes, PREPROCESSING)
    bicubic = to_square(stripes, Preprocessing(8, (0, 0, 0), (1, 1, 1), "bicubic"))
    assert np.abs(bilinear[:, :, 2:6] - 127.5).max() < 20  # antialiased: neither 0 nor 255
    assert not np.array_equal(bilinear, bicubic)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(mode: str) -> None:
    data = encode(large(320, 200).convert(mode), "JPEG", quality=95)
    assert open_photo(data, side=20).size == (40, 25)
    assert open_photo(data, side=40).size == (80, 50)
    assert open_photo(data, side=81).size == (320, 200)
    preprocessing = Preprocessing(40, (0, 0, 0), (1, 1, 1))
    small, whole = read_square(data, preprocessing), to_square(open_photo(data), preprocessing)
    assert np.abs(small.astype(float) - whole).mean() < 2


def test_a_box_is_cut_from_the_whole_photo() -> None:
    data = encode(large(320, 200), "JPEG")
    assert open_photo(data, (0, 0, 160, 100), side=20).size == (160, 100)
    box = (10.0, 20.0, 170.0, 120.0)
    assert np.array_equal(
        read_square(data, PREPROCESSING, box), to_square(open_photo(data, box), PREPROCESSING)
    )


def test_other_formats_and_thin_jpegs_are_decoded_whole() -> None:
    assert open_photo(encode(large(320, 200)), side=20).size == (320, 200)
    assert open_photo(encode(large(2000, 1), "JPEG"), side=8).size[1] == 1


def test_path_text_and_bytes_give_equal_squares(tmp_path: Path) -> None:
    data, path = encode(PICTURE, "JPEG"), tmp_path / "photo.jpg"
    path.write_bytes(data)
    square = read_square(data, PREPROCESSING)
    assert (square.dtype, square.shape) == (np.uint8, (3, 8, 8))
    assert np.array_equal(square, read_square(path, PREPROCESSING))
    assert np.array_equal(square, read_square(str(path), PREPROCESSING))
    assert np.array_equal(square, to_square(open_photo(data), PREPROCESSING))


def test_a_square_uses_the_box_and_the_fill() -> None:
    preprocessing = Preprocessing(2, (0, 0, 0), (1, 1, 1), fill=(51, 102, 255))
    clear = read_square(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 0))), preprocessing)
    assert clear[:, 0, 0].tolist() == [51, 102, 255]
    boxed = read_square(encode(PICTURE), preprocessing, box=(1, 3, 3, 5))
    assert np.array_equal(boxed, PICTURE[3:5, 1:3].transpose(2, 0, 1))


def test_pixel_hash_sees_pixels_and_size_only() -> None:
    reference = pixel_hash(open_photo(encode(PICTURE)))
    assert len(reference) == 64
    assert reference == pixel_hash(open_photo(encode(PICTURE, "BMP")))
    changed = PICTURE.copy()
    changed[5, 3, 2] ^= 1
    assert reference != pixel_hash(Image.fromarray(changed))
    assert reference != pixel_hash(Image.fromarray(PICTURE.reshape(4, 6, 3)))


def test_preprocessing_from_json_equals_and_hashes_alike() -> None:
    wanted = Preprocessing(8, (0.0, 0.5, 1.0), (1.0, 1.0, 2.0), "bicubic", (1, 2, 3))
    read: dict[str, Any] = {
        "mean": [0, 0.5, 1],
        "std": [1, 1, 2],
        "interpolation": "bicubic",
        "fill": [1, 2, 3],
    }
    assert Preprocessing(size=8, **read) == wanted
    assert hash(Preprocessing(size=8, **read)) == hash(wanted)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 0),
        ("size", 224.0),
        ("size", True),
        ("mean", (0.5, 0.5)),
        ("mean", (0.5, 0.5, float("nan"))),
        ("std", (1, 1, 0)),
        ("std", (1, 1, float("inf"))),
        ("interpolation", "nearest"),
        ("fill", (0, 0, 256)),
        ("fill", (0.5, 0.5, 0.5)),
        ("fill", (0, 0)),
    ],
)
def test_preprocessing_names_the_wrong_field(field: str, value: Any) -> None:
    good: dict[str, Any] = {"size": 8, "mean": (0, 0, 0), "std": (1, 1, 1)}
    with pytest.raises(ValueError, match=rf"preprocessing\.{field} must be"):
        Preprocessing(**{**good, field: value})


@pytest.mark.parametrize("place", ["before the pixels", "after the pixels"])
@pytest.mark.parametrize("name", NOTES)
def test_a_png_with_long_notes_is_intact(name: str, place: str) -> None:
    data = noted(NOTES[name], b"IDAT" if place == "before the pixels" else b"IEND")
    assert np.array_equal(np.asarray(open_photo(data)), PICTURE)
    with pytest.raises(PhotoError):
        open_photo(data[: data.index(b"IDAT") + 10])


# 48 x 32 pixels, the left half red, the right blue; written by pillow-heif
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAADMAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABo"
    "dmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEA"
    "GEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAA"
    "AwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAADAAAAAB"
    "AAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAADtt"
    "ZGF0AAAALygBrwng44OcVP/5njf/fk7L2l1JVAj/xAE7yHX/4FVBtwsY3PH1E8PFcFgqtihw"
)


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
def test_a_photo_of_very_many_rows_is_refused(size: tuple[int, int]) -> None:
    data = encode(Image.new("L", size))
    with pytest.raises(PhotoError, match="65,535 a side are allowed"):
        open_photo(data)


def test_a_pipe_is_no_photo_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(PhotoError, match="not a regular file"):
        open_photo(tmp_path / "a.jpg")


def test_a_heic_photo_is_read() -> None:
    photo = np.asarray(open_photo(HEIC))
    assert photo.shape == (32, 48, 3)
    assert np.abs(photo[:, :20].mean((0, 1)) - (200, 30, 30)).max() < 4
    assert np.abs(photo[:, 28:].mean((0, 1)) - (20, 30, 180)).max() < 4


def test_a_heic_photo_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(PhotoError, match="uv sync --extra heic"):
        open_photo(struct.pack(">I", 24) + b"ftypheic" + bytes(12), name="a.heic")
