import base64
import io
import threading
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

from PIL import Image, ImageDraw, ImageOps

from vsearch.serving.messages import Heatmap, Region

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# larger photos aren't shown; the service may still search with them
MAX_PIXELS = 50_000_000  # of a JPEG, which is decoded at a fraction of its size
MAX_WHOLE_PIXELS = 24_000_000  # of other formats: decoding takes up to 16 bytes per pixel
SIDE = 640  # pixels of shown photos
BOX_SIDE = 208  # of the photo on which a box is dragged
PART, ACROSS, DOWN = "part", "across", "down"  # the box and its sides
DIM = 0.35  # brightness outside of the region
WARM, COLD = (230, 60, 20), (20, 90, 230)  # parts that raise the score, parts that lower it
STRONGEST = 0.75  # opacity of the strongest part
ORIENTATION = 0x0112  # EXIF's tag; from 5 on the sides are swapped
SHRINKS = ("L", "RGB", "RGBA", "CMYK")  # modes that Pillow resizes smoothly
ONE_AT_A_TIME = threading.Lock()  # visitors share the page's memory


@dataclass(frozen=True)
class Picture:
    """A photo to show, RGB, upright, at most SIDE pixels per side; `size`: its original width and
    height.
    """

    shown: Image.Image
    size: tuple[int, int]


@dataclass(frozen=True)
class Bounds:
    """The absolute parts of a score that are shown in grey and at full strength.

    `low` is 0 if a part lowers the score or all are equal: then colours show the amount. Otherwise
    they show the amount above the least part, or all would be red.
    """

    low: float
    high: float

    @classmethod
    def of(cls, *heatmaps: Heatmap) -> Self:
        """Return common bounds for heatmaps."""
        parts: list[float] = []
        for heatmap in heatmaps:
            parts += chain.from_iterable(heatmap.parts)
        low = min(parts)
        high = max(map(abs, parts))
        return cls(low, high) if 0 < low < high else cls(0.0, max(high, 1e-9))


def picture(data: bytes) -> Picture | None:
    """Return a photo to show; None: the page can't or won't show it."""
    try:
        with ONE_AT_A_TIME, Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > (MAX_PIXELS if image.format == "JPEG" else MAX_WHOLE_PIXELS):
                return None
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            small = image if image.mode in SHRINKS else image.convert("RGB")
            small.thumbnail((SIDE, SIDE))
            # read late: for a PNG this decodes everything
            turned = image.getexif().get(ORIENTATION, 1) >= 5
            shown = ImageOps.exif_transpose(small).convert("RGB")
    except Exception:  # on damaged data, Pillow's decoders raise nearly any type
        return None
    return Picture(shown, (height, width) if turned else (width, height))


def region_of(photo: Picture, across: tuple[int, int], down: tuple[int, int]) -> Region | None:
    """Return the region given in percent of a photo's width and height; None: all of it."""
    if across == (0, 100) and down == (0, 100):
        return None
    (left, right), (top, bottom) = across, down
    x_scale = photo.size[0] / 100
    y_scale = photo.size[1] / 100
    return Region(left * x_scale, top * y_scale, (right - left) * x_scale, (bottom - top) * y_scale)


def darken_outside(photo: Picture, region: Region | None) -> Image.Image:
    """Return the photo, darker outside a region."""
    if region is None:
        return photo.shown
    scale = photo.shown.width / photo.size[0]
    left, top, right, bottom = (round(side * scale) for side in region.box)
    found = photo.shown.point(lambda value: round(value * DIM))
    found.paste(photo.shown.crop((left, top, right, bottom)), (left, top))
    return found


def box_chart(photo: Picture) -> dict[str, Any]:
    """Return a chart in Vega-Lite: a photo on which a box is dragged, in percent of its sides."""
    small = photo.shown.copy()
    small.thumbnail((2 * BOX_SIDE, 2 * BOX_SIDE))
    scale = BOX_SIDE / max(small.size)
    file = io.BytesIO()
    small.save(file, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    side = {"type": "quantitative", "axis": None}
    encoding = {
        "url": {"field": "url"},
        "x": {"field": ACROSS, "scale": {"domain": [0, 100]}, **side},
        "x2": {"field": "end"},
        "y": {"field": DOWN, "scale": {"domain": [100, 0]}, **side},
        "y2": {"field": "end"},
    }
    return {
        "data": {"values": [{"url": url, ACROSS: 0, DOWN: 0, "end": 100}]},
        "width": round(small.width * scale),
        "height": round(small.height * scale),
        "mark": {"type": "image", "aspect": False, "tooltip": None},
        "encoding": encoding,
        "params": [{"name": PART, "select": {"type": "interval", "encodings": ["x", "y"]}}],
    }


def overlay(shown: Image.Image, heatmap: Heatmap, bounds: Bounds) -> Image.Image:
    """Return a photo in grey, warm where parts raise the score, cold where they lower it."""
    shares = zip(heatmap.box, 2 * shown.size, strict=True)
    left, top, right, bottom = (round(share * side) for share, side in shares)
    seen = (max(1, right - left), max(1, bottom - top))
    found = shown.convert("L").convert("RGB")
    for colour, sign in ((WARM, 1), (COLD, -1)):
        grid = Image.new("L", (len(heatmap.parts[0]), len(heatmap.parts)))
        grid.putdata([_opacity(sign * part, bounds) for part in chain(*heatmap.parts)])
        mask = Image.new("L", shown.size)
        mask.paste(grid.resize(seen, Image.Resampling.BICUBIC), (left, top))
        found.paste(colour, mask=mask)
    return found


def _opacity(part: float, bounds: Bounds) -> int:
    share = (part - bounds.low) / (bounds.high - bounds.low)
    return round(255 * STRONGEST * min(1, max(0, share)))


def icon() -> Image.Image:
    """Return a lens for the browser's tab; Streamlit's own icons come from another host."""
    found = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(found)
    pen.line((38, 38, 58, 58), WARM, width=10)
    pen.ellipse((6, 6, 44, 44), "white", WARM, width=7)
    return found
