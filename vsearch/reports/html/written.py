import logging

from vsearch.reports.html.base import Findings
from vsearch.reports.html.report import FILE, report_page

log = logging.getLogger(__name__)


def page_files(findings: Findings) -> dict[str, bytes]:
    """Return report.html as file content by name; nothing, and a warning, where it can't be drawn.

    A trained model must not be lost because a report can't be drawn.
    """
    try:
        return {FILE: report_page(findings)}
    except Exception as error:  # libraries draw it, from anybody's data
        log.warning("report.html can't be drawn (%r): the bundle is written without it.", error)
        return {}
