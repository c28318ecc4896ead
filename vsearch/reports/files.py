import json

from PIL import Image

from vsearch.evaluation.run_report import RunReport
from vsearch.reports.alone import fails_alone
from vsearch.reports.frontier import frontier
from vsearch.reports.pictures import png
from vsearch.reports.tables import markdown


def report_files(report: RunReport, picture: Image.Image | None) -> dict[str, bytes]:
    """Return the contents of report.json, report.md, results.png and maybe frontier.png by name.

    Files other than report.json are left out, with a warning, if they can't be made.
    """
    files = {"report.json": json.dumps(report.to_json(), indent=2).encode()}
    if picture is not None:
        with fails_alone("results.png"):
            files["results.png"] = png(picture)
    if report.index.frontier:
        with fails_alone("frontier.png"):
            files["frontier.png"] = png(frontier(report.index.frontier, report.index.prefer))
    with fails_alone("report.md"):
        files["report.md"] = _markdown(report, "results.png" in files).encode("utf-8", "replace")
    return files


def _markdown(report: RunReport, has_picture: bool) -> str:
    if not has_picture:
        return markdown(report)
    drawn = " The photos are SYNTHETIC, drawn by vsearch." if report.protocol.synthetic else ""
    legend = f"The query comes first; green: right label, red: wrong.{drawn}"
    return f"{markdown(report)}\n## Search results\n\n{legend}\n\n![results](results.png)\n"
