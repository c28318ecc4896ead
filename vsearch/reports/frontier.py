from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vsearch.evaluation.run_report import Candidate
from vsearch.reports.intervals import INK, LINE, MARGIN, ticks

WIDTH = 1400  # pixels, as all sizes here
HEIGHT = 900
DOT = 9
SIZE = 22
LINE_HEIGHT = 30
LEFT = 130
TOP = 110
RIGHT = WIDTH - MARGIN
BOTTOM = HEIGHT - 110
CHOSEN = "#16a34a"
OTHER = "#64748b"
OUT = "#dc2626"
TITLE = "recall@10 against time"
LEGEND = (
    "Up and to the left is better. Green: chosen; red: breaks a budget. "
    "The line joins those that none beats."
)


def frontier(rows: Sequence[Candidate]) -> Image.Image:
    """Draw each candidate's recall@10 over the time of a single search, and the Pareto line."""
    font = ImageFont.load_default(size=SIZE)
    best = sorted((row for row in rows if row.pareto), key=lambda row: row.single_ms)
    named = best + [row for row in rows if row.chosen and not row.pareto]
    sheet = Image.new("RGB", (WIDTH, HEIGHT + LINE_HEIGHT * len(named)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), TITLE, fill=INK, font=font)
    draw.text((MARGIN, MARGIN + 1.4 * SIZE), LEGEND, fill=OTHER, font=font)

    times = log_ticks(min(row.single_ms for row in rows), max(row.single_ms for row in rows))
    recalls = ticks(min(row.recall_at_10 for row in rows), 1.0)

    def place(ms: float, recall: float) -> tuple[float, float]:
        along = np.log(ms / times[0]) / np.log(times[-1] / times[0])
        up = (recall - recalls[0]) / (recalls[-1] - recalls[0])
        return float(LEFT + (RIGHT - LEFT) * along), BOTTOM - (BOTTOM - TOP) * up

    _axes(draw, font, times, recalls, place)
    points = [place(row.single_ms, row.recall_at_10) for row in best]
    if len(points) > 1:
        draw.line(points, fill=INK, width=3)
    for row in sorted(rows, key=lambda row: row.chosen):  # the chosen one on top
        x, y = place(row.single_ms, row.recall_at_10)
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=_colour(row))
    for number, row in enumerate(named, start=1):
        x, y = place(row.single_ms, row.recall_at_10)
        below = HEIGHT - MARGIN + LINE_HEIGHT * (number - 1)
        colour = _colour(row)
        draw.text((x - DOT - 3, y + 2), str(number), fill=colour, font=font, anchor="rt")
        draw.text((LEFT, below), f"{number}  {line(row)}", fill=colour, font=font)
    return sheet


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that cover `low` to `high`; two at least."""
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    steps = np.outer(10.0 ** np.array(powers), (1, 2, 5)).ravel().round(12).tolist()
    first = max(number for number, step in enumerate(steps) if step <= low)
    last = min(number for number, step in enumerate(steps) if step >= high)
    return steps[first : max(last, first + 1) + 1]


def _axes(
    draw: ImageDraw.ImageDraw,
    font: Any,
    times: list[float],
    recalls: list[float],
    place: Callable[[float, float], tuple[float, float]],
) -> None:
    for step in times:
        x, _ = place(step, recalls[0])
        draw.line((x, TOP, x, BOTTOM), fill=LINE, width=2)
        draw.text((x, BOTTOM + SIZE), f"{step:g}", fill=INK, font=font, anchor="mm")
    for step in recalls:
        _, y = place(times[0], step)
        draw.line((LEFT, y, RIGHT, y), fill=LINE, width=2)
        draw.text((LEFT - 12, y), f"{step:g}", fill=INK, font=font, anchor="rm")
    middle = ((LEFT + RIGHT) / 2, BOTTOM + 3 * SIZE)
    draw.text(middle, "ms a single search", fill=INK, font=font, anchor="mm")


def line(row: Candidate) -> str:
    """Return what a numbered dot is."""
    return f"{row.spec}: {row.recall_at_10:.4f}, {row.single_ms:.3g} ms"


def _colour(row: Candidate) -> str:
    if row.chosen:
        return CHOSEN
    return OTHER if row.within_budget else OUT
