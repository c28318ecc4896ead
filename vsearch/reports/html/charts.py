from collections.abc import Sequence
from html import escape
from typing import Any

from vsearch.reports.html.findings import Figure

# charts.js looks up these names of colours in the style sheet, for light and for dark.
RIGHT = "var:right"
WRONG = "var:wrong"
INK = "var:ink"
MUTED = "var:muted"
ACCENT = "var:accent"
CARD = "var:card"
SERIES = [f"var:series-{number}" for number in range(1, 9)]
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down", "x")
LONGEST = 60  # letters of a name in a chart


def plain(text: object, longest: int = LONGEST) -> str:
    """Return text that plotly.js shows literally."""
    words = str(text)
    if len(words) > longest:
        words = words[: longest - 1] + "…"
    return escape(words, quote=False).replace("var:", "var&#58;")  # not a colour


def figure(
    data: Sequence[dict[str, Any]], x: str, y: str, height: int = 340, **layout: Any
) -> Figure:
    """Return a chart with titles for both axes; plotly.js's `layout` overrides them."""
    axes = {}
    for name, title in (("xaxis", x), ("yaxis", y)):
        axes[name] = {"title": {"text": title}, "automargin": True, **layout.pop(name, {})}
    return {"data": [*data], "layout": {"height": height, **axes, **layout}}


def line(
    x: Sequence[float], y: Sequence[float | None], name: str, number: int, **more: Any
) -> dict[str, Any]:
    """Return a line with markers, in the `number`-th colour and shape."""
    colour = SERIES[number % len(SERIES)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(name),
        "x": [*x],
        "y": [*y],
        "line": {"color": colour},
        "marker": {"color": colour, "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
        **more,
    }


def bar(name: str, colour: str, pattern: str = "", **more: Any) -> dict[str, Any]:
    """Return bars, hatched with a plotly.js pattern."""
    marker = {"color": colour, "pattern": {"shape": pattern, "solidity": 0.35}}
    return {"type": "bar", "name": name, "marker": marker, **more}


def upright(x: float, text: str, colour: str, dash: str, **label: Any) -> dict[str, Any]:
    """Return a vertical line over the whole height at `x`, with a text."""
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": colour, "dash": dash, "width": 2},
        "label": {"text": text, "font": {"color": colour}, **label},
    }
