from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vsearch.reports.metric_names import metric_name
from vsearch.reports.tables import (
    expansion_text,
    products_text,
    regions_text,
    views_text,
    words_text,
)

FOLDER = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    """Fill in a template; values are escaped unless the template says `| safe`."""
    return environment().get_template(template).render(**values)


@cache
def environment() -> Environment:
    """Return Jinja with this package's templates, filters and files."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(asset=asset, plotly_js=plotly_js)
    made.filters.update(
        share=share,
        percent=percent,
        metric_name=metric_name,
        views_text=views_text,
        regions_text=regions_text,
        expansion_text=expansion_text,
        products_text=products_text,
        words_text=words_text,
    )
    return made


def asset(name: str) -> Markup:
    """Return a style sheet or script of this package for the page, unescaped."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def plotly_js() -> Markup:
    """Return plotly.js, 5 MB of JavaScript, from its Python package."""
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def share(value: float | None, digits: int = 3) -> str:
    """Return a number between 0 and 1, or a dash."""
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.000


def percent(value: float | None, digits: int = 1) -> str:
    """Return a number between 0 and 1 in percent, or a dash."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"
