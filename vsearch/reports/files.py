import json

from PIL import Image

from vsearch.evaluation.run_report import RunReport
from vsearch.reports.frontier import frontier
from vsearch.reports.pictures import png
from vsearch.reports.tables import markdown


def report_files(report: RunReport, picture: Image.Image) -> dict[str, bytes]:
    """Return report.json, report.md, results.png and maybe frontier.png as contents by name."""
    drawn = " The photos are SYNTHETIC, drawn by vsearch." if report.protocol.synthetic else ""
    legend = f"The query comes first; green: right label, red: wrong.{drawn}"
    text = f"{markdown(report)}\n## Search results\n\n{legend}\n\n![results](results.png)\n"
    files = {
        "report.json": json.dumps(report.to_json(), indent=2).encode(),
        "report.md": text.encode(),
        "results.png": png(picture),
    }
    if report.index.frontier:
        files["frontier.png"] = png(frontier(report.index.frontier))
    return files
