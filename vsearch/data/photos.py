import contextlib
import hashlib
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from vsearch.class_paths import build, describe
from vsearch.data.decoding_work import TooMuchWork, check_exif, check_work
from vsearch.data.io.object_stores import PlaceError, open_file
from vsearch.data.regions import Region, Regions, pixels
from vsearch.data.views import View
from vsearch.errors import VsearchError

MAX_PIXELS = 100_000_000
LONGEST_SIDE = 65_535  # pixels, as in JPEG
AVIF = ("AVIF",) if features.check("avif") else ()  # some systems build Pillow without it
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *AVIF)
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # texts and colour profile: no pixels
INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# a JPEG may be decoded at a reduced size, at least this many times the wanted one: Pillow's
# `reducing_gap`, "almost the same"
GAP = 2
NO_BOMB_WARNING = ("ignore", None, Image.DecompressionBombWarning, None, 0)
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8
# bytes of a pixel, decoded
OF_RGB = 4
OF_OTHER_MODES = 4
OF_WEBP = 8  # two canvases of the decoder
OF_PROGRESSIVE = 6  # a JPEG's coefficients in full colour, at any output size
EXIF_AS_TEXT = "Raw profile type exif"  # written by ImageMagick into PNG

Box = tuple[float, float, float, float]  # x_1, y_1, x_2, y_2 in pixels of the upright photo
Colour = tuple[int, int, int]
Reserve = Callable[[int], None]  # called with the bytes that a decoded photo takes
WHITE: Colour = (255, 255, 255)


class PhotoError(VsearchError):
    """A photo cannot be used; the message says which one, why, and what to do."""


MOST_SIDE = 4096  # pixels of a network's input


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes the network's input. JSON's lists become tuples.

    Raises a ValueError that names the field when a value makes no sense.

    Attributes:
        size: side of the square, in pixels.
        mean: mean of red, green and blue, on the scale 0..1.
        std: their standard deviation, on the same scale, above 0.
        interpolation: `bilinear` or `bicubic`, as Pillow does them (antialiased).
        fill: red, green and blue, 0..255, of the padding and behind transparency.
        views: views that are embedded in addition to the square; or their `describe` values.
        index_views: parts of a photo that an index also holds, as embeddings of their own.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bilinear"
    fill: Colour = WHITE
    views: tuple[View, ...] = ()
    index_views: Regions | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        object.__setattr__(self, "fill", tuple(self.fill))
        views = [build(view, View) if isinstance(view, dict) else view for view in self.views]
        object.__setattr__(self, "views", tuple(views))
        if isinstance(self.index_views, dict):
            object.__setattr__(self, "index_views", build(self.index_views, Regions))
        has_size = type(self.size) is int and 0 < self.size <= MOST_SIDE
        has_mean = len(self.mean) == 3 and all(map(math.isfinite, self.mean))
        has_std = len(self.std) == 3 and all(0 < s < math.inf for s in self.std)
        has_fill = len(self.fill) == 3 and all(map(_is_byte, self.fill))
        self._require(has_size, "size", f"a whole number of pixels, 1 to {MOST_SIDE:,}")
        self._require(has_mean, "mean", "three numbers")
        self._require(has_std, "std", "three above 0")
        is_known = self.interpolation in INTERPOLATIONS
        self._require(is_known, "interpolation", f"in {[*INTERPOLATIONS]}")
        self._require(has_fill, "fill", "three whole numbers 0..255")
        has_views = all(isinstance(view, View) for view in views)
        self._require(has_views, "views", "a list of views")

    @property
    def regions(self) -> tuple[Region | None, ...]:
        """What an index holds of each photo: None, for the whole, and the parts."""
        return (None,) if self.index_views is None else (None, *self.index_views.boxes)

    def to_json(self) -> dict[str, Any]:
        """Return its arguments as JSON values, without missing views, as in old files."""
        found = asdict(self)
        del found["views"], found["index_views"]
        if self.views:
            found["views"] = [*map(describe, self.views)]
        if self.index_views is not None:
            found["index_views"] = describe(self.index_views)
        return found

    def _require(self, holds: bool, field: str, wanted: str) -> None:
        if not holds:
            value = getattr(self, field)
            raise ValueError(f"preprocessing.{field} must be {wanted}, got {value!r}.")


def unlimited(decoded_bytes: int) -> None:
    """Reserve nothing."""


def open_photo(
    source: str | Path | bytes | BinaryIO,
    box: Box | None = None,
    fill: Colour = WHITE,
    max_pixels: int = MAX_PIXELS,
    side: int | None = None,
    name: str = "<bytes>",
    reserve: Reserve = unlimited,
) -> Image.Image:
    """Return the photo, or an animation's first frame, upright and in RGB, cut to any `box`.

    Transparency is laid over `fill`; 16-bit grey is scaled to 8 bits. Colour profiles are ignored.
    A box is widened to whole pixels and clipped to the photo. Pillow's own limit, 179 million
    pixels, holds even when `max_pixels` is more.

    `side` is the length to which the longest side will be resized. With it, a JPEG without a box is
    decoded at a half, a quarter or an eighth of its size, if that is at least twice the side; this
    is far quicker.

    A source is a path, a URL of an object store, a photo's bytes or an open file. Errors call the
    last two by `name`. An open file is closed.

    `reserve` is called before decoding with about how many bytes that will take, and may wait; what
    it raises becomes a PhotoError's cause.

    Raises:
        PhotoError: no such file, a format that is not in FORMATS, damaged or cut off, more than
            `max_pixels` pixels, far more decoding work than usual, values of unknown range (32-bit,
            signed, float), or a box that holds no pixel of the photo.
    """
    try:
        with _opened(source) as stream:
            side = side if box is None else None
            photo = _to_rgb(_decode(stream, max_pixels, side, reserve), fill)
        return photo if box is None else _crop(photo, box)
    except Exception as error:  # Pillow's decoders raise nearly any kind on damaged data
        called = source if isinstance(source, str | Path) else name
        raise PhotoError(f"{called}: {_reason(error)}") from error


def read_square(
    source: str | Path | bytes,
    preprocessing: Preprocessing,
    box: Box | None = None,
    region: Region | None = None,
) -> np.ndarray:
    """Return a photo, or the part in its `box`, or a `region` of these, as `to_square` does.

    Raises:
        PhotoError: see `open_photo`.
    """
    photo = open_photo(source, box, preprocessing.fill, side=side_for(region, preprocessing))
    return region_square(photo, region, preprocessing)


def side_for(region: Region | None, preprocessing: Preprocessing) -> int:
    """Return `open_photo`'s `side` for a region that fills the network's square."""
    if region is None:
        return preprocessing.size
    return math.ceil(preprocessing.size / min(region[2] - region[0], region[3] - region[1]))


def region_square(
    photo: Image.Image, region: Region | None, preprocessing: Preprocessing
) -> np.ndarray:
    """Return a region of a photo, or all of it, as `to_square` does."""
    if region is not None:
        photo = photo.crop(pixels(region, *photo.size))
    return to_square(photo, preprocessing)


def read_hashed(
    source: str | Path, preprocessing: Preprocessing, box: Box | None = None
) -> tuple[np.ndarray, str]:
    """Return what `read_square` does, and the `pixel_hash` of the photo, or of the part in `box`.

    A large photo is decoded twice, since the hash covers all its pixels.

    Raises:
        PhotoError: see `open_photo`.
    """
    try:
        with open_file(source) as stream:
            data = stream.read()
    except OSError as error:
        raise PhotoError(f"{source}: {_reason(error)}") from error
    photo = seen = open_photo(data, box, name=str(source))
    reduced = box is None and max(photo.size) >= 2 * GAP * preprocessing.size
    if reduced or preprocessing.fill != WHITE:
        seen = open_photo(data, box, preprocessing.fill, side=preprocessing.size, name=str(source))
    return to_square(seen, preprocessing), pixel_hash(photo)


def to_square(photo: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Return an RGB photo as the network sees it, uint8 `(3, size, size)`.

    The longest side becomes `size`, the aspect ratio is kept to the nearest pixel, and the photo is
    centred; the rest is padded with `fill`.
    """
    size = preprocessing.size
    width, height = (max(1, round(side * size / max(photo.size))) for side in photo.size)
    canvas = Image.new("RGB", (size, size), preprocessing.fill)
    resized = photo.resize((width, height), INTERPOLATIONS[preprocessing.interpolation])
    canvas.paste(resized, ((size - width) // 2, (size - height) // 2))
    return np.ascontiguousarray(np.array(canvas).transpose(2, 0, 1))


def pixel_hash(photo: Image.Image) -> str:
    """Return the SHA-256 of an RGB photo's size and pixels, in hex."""
    size = f"{photo.width}x{photo.height} ".encode()
    return hashlib.sha256(size + photo.convert("RGB").tobytes()).hexdigest()


def _reason(error: Exception) -> str:
    match error:
        case PhotoError() | PlaceError() | TooMuchWork():
            return str(error)
        case FileNotFoundError():
            return "no such file. Correct the path."
        case IsADirectoryError():
            return "a folder, not a photo. Name a photo in it."
        case UnidentifiedImageError():
            return (
                f"not one of {', '.join(FORMATS)}, or its start is damaged. Convert it, or find an "
                "intact copy."
            )
        case Image.DecompressionBombError():
            return f"too many pixels ({error}). Make it smaller."
        case _:
            return (
                f"cannot be read ({type(error).__name__}: {error}). Replace it with an intact copy."
            )


def _opened(source: str | Path | bytes | BinaryIO) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return open_file(source) if isinstance(source, str | Path) else source


def _is_byte(value: object) -> bool:
    return type(value) is int and 0 <= value <= 255


def _decode(
    stream: BinaryIO | io.BytesIO,
    max_pixels: int,
    side: int | None,
    reserve: Reserve,
) -> Image.Image:
    # Set permanently: catch_warnings would mix up the filters of other threads.
    if NO_BOMB_WARNING not in warnings.filters:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    check_work(stream)
    try:
        return _upright(stream, max_pixels, side, reserve)
    except ValueError:
        # Pillow refuses a PNG whose texts or colour profile unpack to more than 1 MB.
        stream.seek(0)
        if stream.read(len(PNG_START)) != PNG_START:
            raise
        return _upright(_without_notes(stream), max_pixels, side, reserve)


def _without_notes(stream: BinaryIO | io.BytesIO) -> io.BytesIO:
    """Return a PNG without its notes, read from a stream just behind PNG_START."""
    kept = [PNG_START]
    while len(head := stream.read(8)) == 8:
        length = int.from_bytes(head[:4], "big") + 4  # and its CRC
        if head[4:] in PNG_NOTES:
            stream.seek(length, io.SEEK_CUR)
        else:
            kept += [head, stream.read(length)]
    return io.BytesIO(b"".join(kept))


def _open(stream: BinaryIO | io.BytesIO) -> Image.Image:
    start = stream.read(12)
    stream.seek(0)
    if start[4:8] != b"ftyp" or start[8:] not in HEIF_BRANDS:
        return Image.open(stream, formats=FORMATS)
    try:
        from pi_heif import register_heif_opener
    except ImportError as error:
        raise PhotoError(
            "a HEIC photo, and pi-heif isn't installed. `uv sync --extra heic` installs it; or "
            "convert the photo to JPEG."
        ) from error
    register_heif_opener()
    return Image.open(stream, formats=("HEIF", *AVIF))  # an AVIF may call itself mif1


def _upright(
    stream: BinaryIO | io.BytesIO,
    max_pixels: int,
    side: int | None,
    reserve: Reserve,
) -> Image.Image:
    image = _open(stream)
    check_exif(image.info.get("exif") or b"")  # pi-heif has None
    if image.width * image.height > max_pixels:
        raise PhotoError(
            f"{image.width} x {image.height} pixels; {max_pixels:,} are allowed. Make it smaller."
        )
    if max(image.size) > LONGEST_SIDE:  # decoders need some time for each row
        raise PhotoError(
            f"{image.width} x {image.height} pixels; {LONGEST_SIDE:,} a side are allowed. Cut it."
        )
    whole = image.width * image.height
    if side is not None:
        width, height = (max(1, GAP * side * own // max(image.size)) for own in image.size)
        image.draft(None, (width, height))
    reserve(_decoded_bytes(image, whole))
    image.load()
    # Damaged EXIF doesn't mean damaged pixels.
    with contextlib.suppress(Exception):
        if written := image.info.get(EXIF_AS_TEXT):
            check_exif(bytes.fromhex("".join(written.split("\n")[3:])))
        image.getexif()
        image.info.pop("exif", None)  # otherwise all of it is written again
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _decoded_bytes(image: Image.Image, whole: int) -> int:
    """Return about how many bytes decoding takes at most; `whole`: pixels at full size."""
    of_a_pixel = OF_OTHER_MODES
    if image.mode in ("1", "L", "P"):
        of_a_pixel = 1
    if image.mode.startswith("I;16"):
        of_a_pixel = 2
    of_a_pixel += OF_RGB  # the result
    if "transparency" in image.info:
        of_a_pixel += OF_RGB
    if image.format == "WEBP":
        of_a_pixel += OF_WEBP
    kept = OF_PROGRESSIVE * whole if "progressive" in image.info else 0
    return of_a_pixel * image.width * image.height + kept


def _to_rgb(image: Image.Image, fill: Colour) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _to_8_bits(image)
    if image.mode in ("I", "F"):
        raise PhotoError(
            "32-bit, signed or float values, with unknown black and white. Save it with 8 or "
            "16 bits."
        )
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    photo = Image.new("RGB", image.size, fill)
    photo.paste(image, mask=image)
    return photo


def _to_8_bits(image: Image.Image) -> Image.Image:
    # Pillow passes on a TIFF's 12 bits and inverted greys unchanged.
    tags = getattr(image, "tag_v2", {})
    white = 2 ** tags.get(BITS_PER_SAMPLE, (16,))[0] - 1
    # a lookup table: multiplying each pixel would take twelve bytes
    of_value = ((np.arange(2**16, dtype=np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    grey = of_value[np.asarray(image)]
    photo = Image.fromarray(255 - grey if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else grey)
    if "transparency" in image.info:
        photo.putalpha(
            Image.fromarray(np.asarray(image) != image.info["transparency"]).convert("L")
        )
    return photo


def small_jpeg(photo: Image.Image, side: int, quality: int, optimize: bool = False) -> bytes:
    """Return a photo as a JPEG whose sides are at most `side` pixels; the photo is resized, too."""
    photo.thumbnail((side, side))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality, optimize=optimize)
    return file.getvalue()


def _crop(photo: Image.Image, box: Box) -> Image.Image:
    if all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]:
        left, top = (max(0, math.floor(value)) for value in box[:2])
        right, bottom = (
            min(side, math.ceil(value)) for side, value in zip(photo.size, box[2:], strict=True)
        )
        if left < right and top < bottom:
            return photo.crop((left, top, right, bottom))
    raise PhotoError(
        f"box {box} holds no pixel of the photo ({photo.width} x {photo.height}). Correct x_1, "
        "y_1, x_2, y_2."
    )
