import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageOps

from vsearch.serving.client.calls import Box
from vsearch.serving.messages import Heatmap

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = (
    50_000_000  # the page shows no larger photo; the service may search with it all the same
)
SIDE = 640  # pixels of what is shown
DIM = 0.35  # brightness outside of the region
WARM, COLD = (230, 60, 20), (20, 90, 230)  # parts that raise the score, parts that lower it
STRONGEST = 0.75  # opacity of the strongest part


@dataclass(frozen=True)
class Picture:
    """A photo to be shown.

    Attributes:
        shown: RGB, upright, its longer side at most SIDE pixels.
        size: width and height of the upright photo itself.
    """

    shown: Image.Image
    size: tuple[int, int]


def picture(data: bytes) -> Picture | None:
    """Return a photo to be shown; None: the page can't or won't show it."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            turned = (
                image.getexif().get(0x0112, 1) >= 5
            )  # the EXIF orientations that swap the sides
            size = image.size[::-1] if turned else image.size
            image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded at a fraction of its size
            shown = ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # Pillow's decoders raise nearly any kind on damaged data
        return None
    shown.thumbnail((SIDE, SIDE))
    return Picture(shown, size)


def region(photo: Picture, across: tuple[int, int], down: tuple[int, int]) -> Box | None:
    """Return a region given in percent of a photo's width and height; None: all of it."""
    if across == (0, 100) and down == (0, 100):
        return None
    (left, right), (top, bottom), (width, height) = across, down, photo.size
    return Box(
        left * width / 100,
        top * height / 100,
        (right - left) * width / 100,
        (bottom - top) * height / 100,
    )


def marked(photo: Picture, box: Box | None) -> Image.Image:
    """Return the photo, darker outside of a region."""
    if box is None:
        return photo.shown
    scale = photo.shown.width / photo.size[0]
    left, top, right, bottom = (
        round(value * scale) for value in (box.x, box.y, box.x + box.w, box.y + box.h)
    )
    found = photo.shown.point(lambda value: round(value * DIM))
    found.paste(photo.shown.crop((left, top, right, bottom)), (left, top))
    return found


def overlay(shown: Image.Image, heatmap: Heatmap, bounds: tuple[float, float]) -> Image.Image:
    """Return a photo in grey under the parts of a score: warm where they raise it, cold where they
    lower it.

    Args:
        shown: RGB.
        heatmap: of this photo.
        bounds: absolute parts that are shown in grey and at full strength, see `bounds`; the same
            for both of a pair.
    """
    left, top, right, bottom = (
        round(share * side) for share, side in zip(heatmap.box, 2 * shown.size, strict=True)
    )
    seen = (max(1, right - left), max(1, bottom - top))
    found = shown.convert("L").convert("RGB")
    low, high = bounds
    for colour, sign in ((WARM, 1), (COLD, -1)):
        rows = [
            [
                round(255 * STRONGEST * min(1, max(0, sign * part - low) / (high - low)))
                for part in row
            ]
            for row in heatmap.parts
        ]
        grid = Image.new("L", (len(rows[0]), len(rows)))
        grid.putdata([value for row in rows for value in row])
        mask = Image.new("L", shown.size)
        mask.paste(grid.resize(seen, Image.Resampling.BICUBIC), (left, top))
        found.paste(colour, mask=mask)
    return found


def bounds(*heatmaps: Heatmap) -> tuple[float, float]:
    """Return the least and the largest absolute part of some heatmaps, the second above the first.

    The least is 0 where a part lowers the score, or where all are equal: then colours say how much,
    else only how much more than the least; all would be red otherwise.
    """
    parts = [part for heatmap in heatmaps for row in heatmap.parts for part in row]
    low, high = min(parts), max(abs(part) for part in parts)
    return (low, high) if 0 < low < high else (0.0, max(high, 1e-9))


def icon() -> Image.Image:
    """Return a lens, for the browser's tab: Streamlit's own icons are fetched from another host
    there.
    """
    found = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(found)
    pen.line((38, 38, 58, 58), WARM, width=10)
    pen.ellipse((6, 6, 44, 44), "white", WARM, width=7)
    return found
