from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH = 1400
ROW = 56  # pixels, like all sizes here
MARGIN = 32
DOT = 9
SIZE = 24
LONGEST = 40  # letters of a name
INK = "#0f172a"
LINE = "#cbd5e1"


@dataclass(frozen=True)
class Interval:
    """A row of a chart: a dot at the value, a line from low to high."""

    name: str
    value: float
    low: float
    high: float
    colour: str


def chart(title: str, rows: Sequence[Interval]) -> Image.Image:
    """Draw a dot and an interval for each row, top to bottom, on a common axis."""
    font = ImageFont.load_default(size=SIZE)
    sheet = Image.new("RGB", (WIDTH, 2 * MARGIN + (len(rows) + 2) * ROW), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=font)

    names = [_cut(row.name) for row in rows]
    steps = ticks(min(row.low for row in rows), max(row.high for row in rows))
    left = 2 * MARGIN + max(draw.textlength(name, font=font) for name in names)
    scale = (WIDTH - 2 * MARGIN - left) / (steps[-1] - steps[0])
    top = MARGIN + ROW
    bottom = top + len(rows) * ROW

    def across(value: float) -> float:
        return left + (value - steps[0]) * scale

    for step in steps:
        x = across(step)
        draw.line((x, top, x, bottom), fill=LINE, width=2)
        draw.text((x, bottom + SIZE), f"{step:g}", fill=INK, font=font, anchor="mm")
    for number, row in enumerate(rows):
        x = across(row.value)
        y = top + (number + 0.5) * ROW
        draw.text((MARGIN, y), names[number], fill=row.colour, font=font, anchor="lm")
        draw.line((across(row.low), y, across(row.high), y), fill=row.colour, width=4)
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=row.colour)
    return sheet


def ticks(low: float, high: float, n: int = 6) -> list[float]:
    """Return about `n` round values, evenly spaced, that cover `low` to `high`."""
    rough = max(high - low, 1e-3) / n
    power = 10 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = np.floor(low / step)
    last = max(np.ceil(high / step), first + 1)
    return [round(float(number * step), 10) for number in np.arange(first, last + 1)]


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
