import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from vsearch.reports.alone import fails_alone
from vsearch.reports.html import (
    catalog,
    classes,
    confusion,
    embedding_map,
    error_split,
    extremes,
    mislabelled,
    scores,
    serving,
    training,
)
from vsearch.reports.html.findings import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.render import render

FILE = "report.html"
LIMIT = 9_800_000  # most bytes of the file
log = logging.getLogger(__name__)


def template_alone(findings: Findings, photos: Photos) -> Section:
    """Return nothing: the template shows the report's own values."""
    return Section({})


@dataclass(frozen=True)
class Kind:
    """A section's title, and the function for its template's values and charts."""

    title: str
    draw: Callable[[Findings, Photos], Section] = template_alone


SECTIONS = {  # by the name of the template
    "headline": Kind("Retrieval quality"),
    "error_split": Kind("Errors of model and index", error_split.section),
    "extremes": Kind("Best, median and worst queries", extremes.section),
    "confusion": Kind("Confused labels", confusion.section),
    "classes": Kind("Labels", classes.section),
    "mislabelled": Kind("Labels to check", mislabelled.section),
    "embedding_map": Kind("Map of the embedding", embedding_map.section),
    "scores": Kind("Scores", scores.section),
    "training": Kind("Training", training.section),
    "serving": Kind("The index", serving.section),
    "catalog": Kind("The data", catalog.section),
    "setup": Kind("The run"),
}


@dataclass(frozen=True)
class Drawn:
    """A section as HTML and charts, or the reason why it is missing."""

    name: str
    title: str
    html: Markup = field(default_factory=Markup)
    figures: dict[str, Figure] = field(default_factory=dict)
    left_out: str = ""


def report_html(findings: Findings, limit: int = LIMIT) -> bytes:
    """Draw a run's report as one self-contained HTML file of at most `limit` bytes.

    A section with nothing to show becomes a sentence; so does one that can't be drawn, with a
    warning. Photos fill the rest of `limit`, those of the first sections first.
    """
    photos = Photos()
    sections = [_drawn(name, findings, photos) for name in SECTIONS]
    bare = _file(findings, sections, {})
    return _file(findings, sections, photos.encoded(limit - len(bare)))


def report_file(findings: Findings) -> dict[str, bytes]:
    """Return report.html's content by name; nothing, with a warning, if it can't be drawn."""
    with fails_alone(FILE):
        return {FILE: report_html(findings)}
    return {}


def _drawn(name: str, findings: Findings, photos: Photos) -> Drawn:
    kind = SECTIONS[name]
    try:
        section = kind.draw(findings, photos)
        plots = {figure: f"{name}-{figure}" for figure in section.figures}
        html = render(
            f"{name}.html", report=findings.report, run=findings, plots=plots, **section.values
        )
    except LeftOutError as reason:
        return Drawn(name, kind.title, left_out=str(reason))
    except Exception as error:  # libraries draw it, from any data
        log.warning("%s: the section %r can't be drawn (%r)", FILE, kind.title, error)
        sentence = f"This section could not be drawn ({type(error).__name__})."
        return Drawn(name, kind.title, left_out=sentence)
    figures = {plots[figure]: drawn for figure, drawn in section.figures.items()}
    return Drawn(name, kind.title, Markup(html), figures)


def _file(findings: Findings, sections: list[Drawn], photos: dict[str, str]) -> bytes:
    figures: dict[str, Any] = {}
    for section in sections:
        figures |= section.figures
    html = render(
        "report.html", report=findings.report, sections=sections, figures=figures, photos=photos
    )
    return html.encode("utf-8", "replace")
