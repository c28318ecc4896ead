import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from rich.progress import track

from vsearch.data.catalogs.base import Catalog, CatalogError
from vsearch.data.catalogs.demo_shapes import (
    CATEGORIES,
    COLOURS,
    PATTERNS,
    SHAPES,
    SIDE,
    draw_product,
)
from vsearch.data.io.atomic import scratch_folder

DRAWING_VERSION = 1  # raise it when the same seed gives different photos
README = (
    "These photos are synthetic: vsearch drew them (DemoCatalog). They show no real product, shop "
    "or brand.\n"
)
RNG = np.random.Generator


class DemoCatalog(Catalog):
    """Synthetic photos of 16 product types, drawn into `folder` once.

    The same settings and libraries give the same bytes. Colour, pattern and gender are drawn
    independently of the label; pose, background, light and occlusion vary.

    Args:
        folder: where `photos/`, `items.csv` and `demo.json` (the settings) go; it must be new, or
            drawn with these settings.
        n_items: number of photos, at least 2 for each label.
        n_labels: number of product types, 2 to 16; their sizes follow `long_tail`.
        photo_size: width and height of a photo, at least 32 pixels.
        seed: 0 or more.
        pairs: number of photos of two products side by side, to try parts of photos with. They are
            no items of this catalog, so that no split makes them queries: their own table is
            `pairs.csv`, with the left product's `label` and the `right` one's, for `index add`.

    Raises:
        CatalogError: a setting is out of range.
    """

    synthetic = True

    def __init__(
        self,
        folder: str = "demo_catalog",
        n_items: int = 2400,
        n_labels: int = 16,
        photo_size: int = 80,
        seed: int = 0,
        pairs: int = 0,
    ) -> None:
        if not 2 <= n_labels <= len(SHAPES):
            raise CatalogError(f"DemoCatalog: n_labels is {n_labels}; set it to 2..{len(SHAPES)}.")
        if n_items < 2 * n_labels:
            raise CatalogError(
                f"DemoCatalog: n_items is {n_items}; {n_labels} labels need {2 * n_labels} or more."
            )
        if photo_size < 32 or seed < 0:
            raise CatalogError(
                f"DemoCatalog: photo_size is {photo_size}, seed is {seed}; set >= 32 and >= 0."
            )
        if pairs < 0:
            raise CatalogError(f"DemoCatalog: pairs is {pairs}; set it to 0 or more.")
        self.folder = Path(folder)
        sizes = {"n_items": n_items, "n_labels": n_labels, "photo_size": photo_size}
        self.settings = {"version": DRAWING_VERSION, **sizes, "seed": seed}
        if pairs:  # without them, a folder drawn with some holds the same items
            self.settings["pairs"] = pairs

    def prepare(self) -> None:
        """Draw the photos and the table, unless the folder holds them already.

        Raises:
            CatalogError: the folder isn't a demo catalog, or was drawn with other settings. It
                stays unchanged.
        """
        if self.folder.exists():
            return self._check_drawn()
        with scratch_folder(self.folder) as scratch:
            self._draw(scratch / "catalog").rename(self.folder)

    def read(self) -> pd.DataFrame:
        """Return the drawn items: `id`, `path`, `label`, `category`, `colour`, `pattern`, `gender`.

        Raises:
            CatalogError: nothing is drawn yet, or the folder holds something else.
        """
        self._check_drawn()
        items = pd.read_csv(self.folder / "items.csv", dtype=str)
        photos = self.folder / "photos"
        items.insert(1, "path", [str(photos / f"{item}.jpg") for item in items["id"]])
        items.insert(3, "category", items["label"].map(CATEGORIES))
        return items

    def _check_drawn(self) -> None:
        marker = self.folder / "demo.json"
        if not marker.is_file():
            what = "is not drawn yet: call prepare()"
            if self.folder.exists():
                what = "exists, but isn't a demo catalog"
            raise CatalogError(
                f"DemoCatalog: {self.folder} {what} (no {marker}). Existing files are never "
                "overwritten."
            )
        found = json.loads(marker.read_text())
        other = [
            f"{key} is {found.get(key)}, not {value}"
            for key, value in self.settings.items()
            if found.get(key) != value
        ]
        if other:
            raise CatalogError(
                f"DemoCatalog: {self.folder} has other settings: {'; '.join(other)}. Delete the "
                "folder or name another."
            )

    def _draw(self, folder: Path) -> Path:
        n_items, n_labels, size, seed = (
            self.settings[key] for key in ("n_items", "n_labels", "photo_size", "seed")
        )
        (folder / "photos").mkdir(parents=True)
        labels = np.repeat(list(SHAPES)[:n_labels], long_tail(n_items, n_labels))
        rows = []
        for index, label in track(
            list(enumerate(shuffled(labels, seed))), description="Drawing the demo catalog"
        ):
            row, photo = draw_item(label, size, np.random.default_rng([seed, index]))
            rows.append({"id": f"demo-{index:05d}", **row})
            photo.save(folder / "photos" / f"{rows[-1]['id']}.jpg", quality=90)
        pd.DataFrame(rows).to_csv(folder / "items.csv", index=False)
        if "pairs" in self.settings:
            self._draw_pairs(folder)
        (folder / "README.txt").write_text(README)
        (folder / "demo.json").write_text(json.dumps(self.settings, indent=2) + "\n")
        return folder

    def _draw_pairs(self, folder: Path) -> None:
        (folder / "pairs").mkdir()
        labels = list(SHAPES)[: self.settings["n_labels"]]
        rows = []
        for index in range(self.settings["pairs"]):
            rng = np.random.default_rng([self.settings["seed"], index, 2])
            left, right = (str(label) for label in rng.choice(labels, 2, replace=False))
            item = f"pair-{index:05d}"
            path = f"pairs/{item}.jpg"
            photo = draw_pair(left, right, self.settings["photo_size"], rng)
            photo.save(folder / path, quality=90)
            rows.append({"id": item, "path": path, "label": left, "right": right})
        pd.DataFrame(rows).to_csv(folder / "pairs.csv", index=False)


def long_tail(n_items: int, n_labels: int, ratio: float = 20) -> list[int]:
    """Return `n_labels` class sizes, largest first, that add up to `n_items`, each at least 2.

    They fall geometrically; the first is about `ratio` times the last (less where the minimum of 2
    applies).
    """
    weights = ratio ** -np.linspace(0, 1, n_labels)
    sizes: list[int] = []
    for last in reversed(range(n_labels)):
        left = n_items - sum(sizes)
        share = left * weights[last] / weights[: last + 1].sum()
        sizes.append(max(2, int(share + 1e-9)))  # 1e-9: a whole share stays whole on every platform
    return sizes[::-1]


def shuffled(labels: NDArray[np.str_], seed: int) -> list[str]:
    """Return the labels in the items' order: the first photos aren't all of one type."""
    return [str(label) for label in np.random.default_rng([seed, len(labels)]).permutation(labels)]


def draw_item(label: str, size: int, rng: RNG) -> tuple[dict[str, str], Image.Image]:
    """Return one item's row and its RGB photo of `size` x `size` pixels."""
    values = (list(COLOURS), PATTERNS, ("women", "men", "unisex"))
    colour, pattern, gender = (str(rng.choice(choices)) for choices in values)
    photo = photograph(draw_product(label, colour, pattern, rng), size, rng)
    return {"label": label, "colour": colour, "pattern": pattern, "gender": gender}, photo


def draw_pair(left: str, right: str, size: int, rng: RNG) -> Image.Image:
    """Return an RGB photo of two products, each half as large as in a photo of its own."""
    frame = 2 * size  # as for `photograph`
    half = size
    scene = background(frame, rng)
    for label, start in ((left, 0), (right, half)):
        colour, pattern = (str(rng.choice(choices)) for choices in (list(COLOURS), PATTERNS))
        posed = draw_product(label, colour, pattern, rng).transform(
            (half, half), Image.Transform.PERSPECTIVE, pose(half, rng), Image.Resampling.BILINEAR
        )
        scene.paste(posed, (start, int(rng.integers(half))), posed)
    return lit(scene.resize((size, size), Image.Resampling.LANCZOS), rng)


def photograph(product: Image.Image, size: int, rng: RNG) -> Image.Image:
    """Return an RGB photo of the RGBA `product`: posed, on a background, maybe covered, and lit."""
    frame = 2 * size  # drawn at twice the size to avoid jagged edges
    posed = product.transform(
        (frame, frame), Image.Transform.PERSPECTIVE, pose(frame, rng), Image.Resampling.BILINEAR
    )
    scene = background(frame, rng)
    scene.paste(posed, mask=posed)
    if rng.random() < 0.3:
        scene.paste(random_colour(rng), mask=cover(posed.getchannel("A"), rng))
    return lit(scene.resize((size, size), Image.Resampling.LANCZOS), rng)


def random_colour(rng: RNG) -> tuple[int, int, int]:
    """Return any RGB colour except the darkest and the lightest."""
    red, green, blue = rng.integers(30, 230, 3).tolist()
    return red, green, blue


def pale_colour(rng: RNG) -> tuple[int, int, int]:
    """Return a light RGB colour, as in the background of shop photos."""
    red, green, blue = rng.integers(170, 250, 3).tolist()
    return red, green, blue


def pose(frame: int, rng: RNG) -> list[float]:
    """Return Pillow's 8 perspective coefficients, from frame pixels to canvas pixels.

    Size 0.7-1.0 of the frame, turned by up to 12 degrees, maybe flipped, stretched, sheared and
    tilted a little.
    """
    share = rng.uniform(0.7, 1.0)
    angle = np.radians(rng.uniform(-12, 12))
    stretch = rng.uniform(0.9, 1.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[rng.choice((-1, 1)) * stretch, rng.uniform(-0.1, 0.1)], [0, 1 / stretch]])
    centre, there = np.eye(3), np.eye(3)
    centre[:2, 2] = -SIDE / 2
    there[:2, :2] = turn @ shape * share * frame / SIDE
    there[:2, 2] = frame / 2 + rng.uniform(-0.5, 0.5, 2) * (1.05 - share) * frame
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-0.0007, 0.0007, 2)
    back = np.linalg.inv(there @ tilt @ centre)
    return (back / back[2, 2]).ravel()[:8].tolist()


def background(frame: int, rng: RNG) -> Image.Image:
    """Return an RGB background of `frame` pixels a side: plain, a gradient, texture or clutter."""
    kind = rng.choice(("plain", "gradient", "texture", "clutter"))
    scene = Image.new("RGB", (frame, frame), pale_colour(rng))
    if kind == "gradient":
        turned = Image.linear_gradient("L").rotate(rng.uniform(0, 360))
        ramp = turned.crop((38, 38, 218, 218))  # covered at every angle
        scene.paste(pale_colour(rng), mask=ramp.resize((frame, frame)))
    elif kind == "texture":
        grain = rng.integers(0, 160, (int(rng.integers(8, 40)),) * 2, dtype=np.uint8)
        scene.paste(pale_colour(rng), mask=Image.fromarray(grain).resize((frame, frame)))
    elif kind == "clutter":
        pen = ImageDraw.Draw(scene)
        for _ in range(rng.integers(4, 10)):
            blot(
                pen, rng.uniform(0.08, 0.3) * frame, rng.uniform(0, frame, 2), pale_colour(rng), rng
            )
    return scene


def blot(
    pen: ImageDraw.ImageDraw,
    reach: float,
    centre: NDArray[np.float64],
    fill: tuple[int, ...] | int,
    rng: RNG,
) -> None:
    """Draw a disc, or a polygon of 3 to 6 corners, within `reach` pixels of `centre`."""
    if rng.random() < 0.4:
        pen.ellipse([*(centre - reach), *(centre + reach)], fill=fill)
    else:
        turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
        pen.polygon(
            (centre + reach * np.stack([np.cos(turns), np.sin(turns)], 1)).ravel().tolist(),
            fill=fill,
        )


def cover(alpha: Image.Image, rng: RNG) -> Image.Image:
    """Return a mask of a bar or blob, or an empty one if it hid over a fifth of the product."""
    mask = Image.new("L", alpha.size)
    frame, pen = alpha.width, ImageDraw.Draw(mask)
    if rng.random() < 0.5:
        pen.line(
            rng.uniform(0, frame, 4).tolist(), fill=255, width=int(frame * rng.uniform(0.04, 0.12))
        )
    else:
        blot(pen, rng.uniform(0.08, 0.2) * frame, rng.uniform(0.2, 0.8, 2) * frame, 255, rng)
    product, hidden = np.asarray(alpha) > 0, np.asarray(mask) > 0
    return mask if (product & hidden).sum() <= 0.2 * product.sum() else Image.new("L", alpha.size)


def lit(photo: Image.Image, rng: RNG) -> Image.Image:
    """Return the photo under other light: blur, contrast, colours, a light gradient, and noise."""
    photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))
    pixels = np.asarray(photo, dtype=np.float32)
    pixels = (pixels - 128) * rng.uniform(0.8, 1.1) + 128
    y, x = np.mgrid[-1 : 1 : photo.height * 1j, -1 : 1 : photo.width * 1j]
    slope = rng.uniform(-0.1, 0.1, 2)
    light = rng.uniform(0.85, 1.15) * (1 + slope[0] * x + slope[1] * y)
    pixels = pixels * light[..., None] * rng.uniform(0.93, 1.07, 3)
    pixels += rng.normal(0, rng.uniform(0, 5), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
