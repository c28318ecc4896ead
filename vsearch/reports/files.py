import json
from io import BytesIO
from typing import Any

from PIL import Image

from vsearch.reports.frontier import frontier
from vsearch.reports.tables import markdown


def report_files(report: dict[str, Any], picture: Image.Image) -> dict[str, bytes]:
    """Return report.json, report.md and the pictures, as file contents by name: results.png, maybe
    frontier.png.
    """
    drawn = (
        " The photos are SYNTHETIC, drawn by vsearch." if report["protocol"]["synthetic"] else ""
    )
    legend = f"Query first; green: right label, red: wrong.{drawn}"
    text = f"{markdown(report)}\n## Search results\n\n{legend}\n\n![results](results.png)\n"
    return {
        "report.json": json.dumps(report, indent=2).encode(),
        "report.md": text.encode(),
        "results.png": _png(picture),
        **(
            {"frontier.png": _png(frontier(rows))}
            if (rows := report["index"].get("frontier"))
            else {}
        ),
    }


def _png(picture: Image.Image) -> bytes:
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
