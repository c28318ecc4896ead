from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vsearch.reports.intervals import INK, LINE, MARGIN, ticks

WIDTH, HEIGHT, DOT, SIZE, LINES = 1400, 900, 9, 22, 30
LEFT, TOP, RIGHT, BOTTOM = 130, 110, WIDTH - MARGIN, HEIGHT - 110
CHOSEN, OTHER, OUT = "#16a34a", "#64748b", "#dc2626"
LEGEND = "Up and to the left is better. Green: chosen; red: breaks a budget. The line joins those that none beats."


def frontier(rows: Sequence[dict[str, Any]], title: str = "recall@10 against time") -> Image.Image:
    """Draw each candidate's recall@10 over the milliseconds of a single search, and the Pareto
    line.

    Args:
        rows: as `indexes.choice.table` returns them.
        title: what stands above.
    """
    font = ImageFont.load_default(size=SIZE)
    best = sorted((row for row in rows if row["pareto"]), key=lambda row: row["single_ms"])
    named = best + [row for row in rows if row["chosen"] and not row["pareto"]]
    sheet = Image.new("RGB", (WIDTH, HEIGHT + LINES * len(named)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=font)
    draw.text((MARGIN, MARGIN + 1.4 * SIZE), LEGEND, fill=OTHER, font=font)
    times = log_ticks(min(row["single_ms"] for row in rows), max(row["single_ms"] for row in rows))
    recalls = ticks(min(row["recall_at_10"] for row in rows), 1.0)
    span, high = np.log(times[-1] / times[0]), recalls[-1] - recalls[0]

    def place(ms: float, recall: float) -> tuple[float, float]:
        across = LEFT + (RIGHT - LEFT) * np.log(ms / times[0]) / span
        return float(across), BOTTOM - (BOTTOM - TOP) * (recall - recalls[0]) / high

    _axes(draw, font, times, recalls, place)
    points = [place(row["single_ms"], row["recall_at_10"]) for row in best]
    if len(points) > 1:
        draw.line(points, fill=INK, width=3)
    for row in sorted(rows, key=lambda row: row["chosen"]):  # the chosen one on top
        x, y = place(row["single_ms"], row["recall_at_10"])
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=_colour(row))
    for number, row in enumerate(named, start=1):
        x, y = place(row["single_ms"], row["recall_at_10"])
        draw.text((x - DOT - 3, y + 2), str(number), fill=_colour(row), font=font, anchor="rt")
        draw.text(
            (LEFT, HEIGHT - MARGIN + LINES * (number - 1)),
            f"{number}  {line(row)}",
            fill=_colour(row),
            font=font,
        )
    return sheet


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten, from `low` or a little less to `high` or a little
    more; two at least.
    """
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    steps = [round(factor * 10.0**power, 12) for power in powers for factor in (1, 2, 5)]
    first = max(number for number, step in enumerate(steps) if step <= low)
    last = min(number for number, step in enumerate(steps) if step >= high)
    return steps[first : max(last, first + 1) + 1]


def _axes(
    draw: ImageDraw.ImageDraw, font: Any, times: list[float], recalls: list[float], place: Any
) -> None:
    for step in times:
        x, _ = place(step, recalls[0])
        draw.line((x, TOP, x, BOTTOM), fill=LINE, width=2)
        draw.text((x, BOTTOM + SIZE), f"{step:g}", fill=INK, font=font, anchor="mm")
    for step in recalls:
        _, y = place(times[0], step)
        draw.line((LEFT, y, RIGHT, y), fill=LINE, width=2)
        draw.text((LEFT - 12, y), f"{step:g}", fill=INK, font=font, anchor="rm")
    draw.text(
        ((LEFT + RIGHT) / 2, BOTTOM + 3 * SIZE),
        "ms a single search",
        fill=INK,
        font=font,
        anchor="mm",
    )


def line(row: dict[str, Any]) -> str:
    """Return what a numbered dot is."""
    return f"{row['spec']}: {row['recall_at_10']:.4f}, {row['single_ms']:.3g} ms"


def _colour(row: dict[str, Any]) -> str:
    return CHOSEN if row["chosen"] else OTHER if row["within_budget"] else OUT
