import logging
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from vsearch.reports.html.base import Findings, LeftOutError, Section
from vsearch.reports.html.catalog import section as catalog
from vsearch.reports.html.classes import section as classes
from vsearch.reports.html.confusion import section as confusion
from vsearch.reports.html.embedding_map import section as embedding_map
from vsearch.reports.html.error_split import section as error_split
from vsearch.reports.html.extremes import section as extremes
from vsearch.reports.html.headline import section as headline
from vsearch.reports.html.mislabelled import section as mislabelled
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.render import render
from vsearch.reports.html.scores import section as scores
from vsearch.reports.html.serving import section as serving
from vsearch.reports.html.setup import section as setup
from vsearch.reports.html.training import section as training

FILE, LIMIT = "report.html", 9_800_000  # bytes that the file stays under
SECTIONS: dict[
    str, tuple[str, Callable[[Findings, Photos], Section]]
] = {  # by the name of the template
    "headline": ("What it finds", headline),
    "error_split": ("Whose errors", error_split),
    "extremes": ("Best, median and worst queries", extremes),
    "confusion": ("What is mistaken for what", confusion),
    "classes": ("Labels", classes),
    "mislabelled": ("Labels to look at", mislabelled),
    "embedding_map": ("Map of the embedding", embedding_map),
    "scores": ("Scores", scores),
    "training": ("Training", training),
    "serving": ("The index", serving),
    "catalog": ("The data", catalog),
    "setup": ("The run", setup),
}
log = logging.getLogger(__name__)


def report_page(findings: Findings, limit: int = LIMIT) -> bytes:
    """Draw a run's report as one HTML file of at most `limit` bytes, which needs no other file and
    no network.

    A section that has nothing to show is a sentence; one that can't be drawn, too, and a warning.
    Photos take what the rest leaves of `limit`: those in picture rows first, then the map's.
    """
    photos = Photos()
    sections = [_drawn(name, *parts, findings, photos) for name, parts in SECTIONS.items()]
    bare = _page(findings, sections, {})
    return _page(findings, sections, photos.encoded(limit - len(bare)))


def _drawn(
    name: str,
    title: str,
    draw: Callable[[Findings, Photos], Section],
    findings: Findings,
    photos: Photos,
) -> dict[str, Any]:
    """Return a section as the page takes it: its own HTML and figures, or the reason why it isn't
    there.
    """
    try:
        made = draw(findings, photos)
        figures = {f"{name}-{part}": drawn for part, drawn in made.figures.items()}
        html = render(
            f"{name}.html", **made.values, plots={part: f"{name}-{part}" for part in made.figures}
        )
        return {"name": name, "title": title, "html": Markup(html), "figures": figures}
    except LeftOutError as reason:
        return {"name": name, "title": title, "left_out": str(reason), "figures": {}}
    except Exception as error:  # libraries draw it, from anybody's data
        log.warning("report.html: the section %r can't be drawn (%r)", title, error)
        sentence = f"This section could not be drawn ({type(error).__name__})."
        return {"name": name, "title": title, "left_out": sentence, "figures": {}}


def _page(findings: Findings, sections: list[dict[str, Any]], photos: dict[str, str]) -> bytes:
    figures = {name: drawn for section in sections for name, drawn in section["figures"].items()}
    page = render(
        "report.html", report=findings.report, sections=sections, figures=figures, photos=photos
    )
    return page.encode("utf-8", "replace")
