from collections.abc import Sequence
from html import escape
from typing import Any

from vsearch.reports.html.base import Figure

# Colours are names that the page looks up in its style sheet, once for light and once for dark.
RIGHT, WRONG, INK, MUTED, ACCENT = (
    f"var:{name}" for name in ("right", "wrong", "ink", "muted", "accent")
)
SERIES = [f"var:series-{number}" for number in range(1, 9)]
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down", "x")
LONGEST = 60  # letters of a name in a chart


def plain(text: object, longest: int = LONGEST) -> str:
    """Return a text as plotly.js shows it letter by letter: it reads tags and entities in what it
    is given.
    """
    words = str(text)
    short = escape(words if len(words) <= longest else words[: longest - 1] + "…", quote=False)
    return short.replace("var:", "var&#58;")  # no colour is meant


def figure(
    data: Sequence[dict[str, Any]], x: str, y: str, height: int = 340, **layout: Any
) -> Figure:
    """Return a chart with titles for both axes; `layout` is plotly.js's and goes over what is set
    here.
    """
    axes = {
        f"{axis}axis": {
            "title": {"text": title},
            "automargin": True,
            **layout.pop(f"{axis}axis", {}),
        }
        for axis, title in (("x", x), ("y", y))
    }
    return {"data": [*data], "layout": {"height": height, **axes, **layout}}


def line(
    x: Sequence[float], y: Sequence[float | None], name: str, number: int, **more: Any
) -> dict[str, Any]:
    """Return a line with markers, in the `number`-th colour and shape."""
    colour, symbol = SERIES[number % len(SERIES)], SYMBOLS[number % len(SYMBOLS)]
    marker = {"color": colour, "symbol": symbol, "size": 8}
    style = {"mode": "lines+markers", "line": {"color": colour}, "marker": marker}
    return {"type": "scatter", "x": [*x], "y": [*y], "name": plain(name), **style, **more}
