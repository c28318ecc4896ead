from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vsearch.evaluation.run_report import Candidate
from vsearch.reports.intervals import INK, LINE, MARGIN, ticks
from vsearch.reports.table import interval

WIDTH = 1400  # pixels, like all sizes here
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
LEGEND = (
    "Up and to the left is better. Green: chosen; red: breaks a budget. "
    "The line joins those that no other beats."
)


def axis_titles(rows: Sequence[Candidate], prefer: str) -> tuple[str, str]:
    """Return the titles of a frontier's axes: the cost, and the quality."""
    cost = "MiB in memory" if prefer == "memory" else "ms per single search"
    if any(row.losses for row in rows):
        return cost, "precision@1 against exact search, with 95 % intervals"
    return cost, "recall@10 of exact search"


def frontier(rows: Sequence[Candidate], prefer: str = "time") -> Image.Image:
    """Draw each candidate's quality against its cost, and the Pareto line."""
    across, upward = axis_titles(rows, prefer)
    font = ImageFont.load_default(size=SIZE)
    best = sorted((row for row in rows if row.pareto), key=lambda row: row.cost(prefer))
    named = best + [row for row in rows if row.chosen and not row.pareto]
    sheet = Image.new("RGB", (WIDTH, HEIGHT + LINE_HEIGHT * len(named)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), upward, fill=INK, font=font)
    draw.text((MARGIN, MARGIN + 1.4 * SIZE), LEGEND, fill=OTHER, font=font)

    costs = [row.cost(prefer) for row in rows]
    steps = log_ticks(min(costs), max(costs))
    judged = any(row.losses for row in rows)
    most = max(row.quality.high for row in rows) if judged else 1.0
    levels = ticks(min(row.quality.low for row in rows), most)

    def place(cost: float, quality: float) -> tuple[float, float]:
        along = np.log(cost / steps[0]) / np.log(steps[-1] / steps[0])
        up = (quality - levels[0]) / (levels[-1] - levels[0])
        return float(LEFT + (RIGHT - LEFT) * along), BOTTOM - (BOTTOM - TOP) * up

    def dot(row: Candidate) -> tuple[float, float]:
        return place(row.cost(prefer), row.quality.value)

    _axes(draw, font, steps, levels, place, across)
    points = [dot(row) for row in best]
    if len(points) > 1:
        draw.line(points, fill=INK, width=3)
    for row in sorted(rows, key=lambda row: row.chosen):  # the chosen one on top
        x, y = dot(row)
        ends = [place(row.cost(prefer), end) for end in (row.quality.low, row.quality.high)]
        draw.line(ends, fill=_colour(row), width=2)
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=_colour(row))
    for number, row in enumerate(named, start=1):
        x, y = dot(row)
        below = HEIGHT - MARGIN + LINE_HEIGHT * (number - 1)
        colour = _colour(row)
        draw.text((x - DOT - 3, y + 2), str(number), fill=colour, font=font, anchor="rt")
        draw.text((LEFT, below), f"{number}  {line(row)}", fill=colour, font=font)
    return sheet


def log_ticks(low: float, high: float) -> list[float]:
    """Return at least two of 1, 2 and 5 times powers of ten that cover `low` to `high`."""
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    steps = np.outer(10.0 ** np.array(powers), (1, 2, 5)).ravel().round(12).tolist()
    first = max(number for number, step in enumerate(steps) if step <= low)
    last = min(number for number, step in enumerate(steps) if step >= high)
    return steps[first : max(last, first + 1) + 1]


def _axes(
    draw: ImageDraw.ImageDraw,
    font: Any,
    costs: list[float],
    levels: list[float],
    place: Callable[[float, float], tuple[float, float]],
    title: str,
) -> None:
    for step in costs:
        x, _ = place(step, levels[0])
        draw.line((x, TOP, x, BOTTOM), fill=LINE, width=2)
        draw.text((x, BOTTOM + SIZE), f"{step:g}", fill=INK, font=font, anchor="mm")
    for step in levels:
        _, y = place(costs[0], step)
        draw.line((LEFT, y, RIGHT, y), fill=LINE, width=2)
        draw.text((LEFT - 12, y), f"{step:g}", fill=INK, font=font, anchor="rm")
    middle = ((LEFT + RIGHT) / 2, BOTTOM + 3 * SIZE)
    draw.text(middle, title, fill=INK, font=font, anchor="mm")


def line(row: Candidate) -> str:
    """Return the description of a numbered dot."""
    text = f"{row.spec}: {row.recall_at_10:.4f}, {row.single_ms:.3g} ms"
    if not row.losses:
        return text
    return f"{text}, {row.memory_bytes / 2**20:,.1f} MiB, {interval(row.quality, '+.4f')}"


def _colour(row: Candidate) -> str:
    if row.chosen:
        return CHOSEN
    return OTHER if row.within_budget else OUT
