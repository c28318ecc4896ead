from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from vsearch.data.items import boxes
from vsearch.data.photos import open_photo

RIGHT = (22, 163, 74)
WRONG = (220, 38, 38)
QUERY = (100, 116, 139)
CELL = 96  # pixels, like all sizes here
FRAME = 4
CAPTION = 16
GAP = 8


@dataclass(frozen=True)
class Shown:
    """One photo of the grid: its caption, and whether it is a right hit (None for the query)."""

    photo: Image.Image
    caption: str
    right: bool | None


def grid(rows: Sequence[Sequence[Shown]]) -> Image.Image:
    """Draw a row for each query: the query, then its hits, framed green if right, red if wrong."""
    width = max(len(row) for row in rows) * (CELL + GAP) + 2 * GAP
    sheet = Image.new("RGB", (width, len(rows) * (CELL + CAPTION + GAP) + GAP), "white")
    for line, row in enumerate(rows):
        for column, shown in enumerate(row):
            left = GAP + column * (CELL + GAP) + (GAP if column else 0)
            _draw(sheet, shown, left, GAP + line * (CELL + CAPTION + GAP))
    return sheet


def example_grid(
    hits: np.ndarray, queries: pd.DataFrame, gallery: pd.DataFrame, n: int = 10, k: int = 8
) -> Image.Image:
    """Draw `n` queries of as many labels as possible, with `k` hits each.

    The queries are random, with a fixed seed, not selected. `hits` are the gallery positions of
    each query's best hits, int (q, depth), -1 after the last.
    """
    rows = []
    for position in _spread(queries["label"].to_numpy(), n):
        query = queries.iloc[position]
        row = [_shown(query, None)]
        for hit in hits[position, :k]:
            if hit >= 0:
                item = gallery.iloc[hit]
                row.append(_shown(item, item["label"] == query["label"]))
        rows.append(row)
    return grid(rows)


def _spread(labels: np.ndarray, n: int) -> list[int]:
    """Return up to `n` positions in seeded random order; no label repeats before all occurred."""
    order = np.random.default_rng(0).permutation(len(labels))
    turn = pd.Series(labels[order]).groupby(labels[order]).cumcount()
    return [int(position) for position in order[np.argsort(turn, kind="stable")][:n]]


def _shown(item: pd.Series, right: bool | None) -> Shown:
    return Shown(open_photo(item["path"], boxes(item.to_frame().T)[0]), item["label"], right)


def _draw(sheet: Image.Image, shown: Shown, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    colour = QUERY if shown.right is None else RIGHT if shown.right else WRONG
    frame = (left, top, left + CELL - 1, top + CELL - 1)
    draw.rectangle(frame, fill="white", outline=colour, width=FRAME)
    inner = CELL - 2 * FRAME
    photo = shown.photo.copy()
    photo.thumbnail((inner, inner))
    if max(photo.size) < inner:
        scale = inner / max(photo.size)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    sheet.paste(photo, (left + (CELL - photo.width) // 2, top + (CELL - photo.height) // 2))
    font = ImageFont.load_default(size=11)
    # one line of printable characters, no longer than can fit
    text = "".join(sign if sign.isprintable() else " " for sign in shown.caption[:CELL])
    while draw.textlength(text, font=font) > CELL and len(text) > 1:
        text = text[:-2] + "…"
    draw.text((left, top + CELL + 1), text, fill=colour, font=font)
