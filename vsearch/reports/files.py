import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger
from PIL import Image

from vsearch.reports.boards import boards
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


def log_to_tensorboard(
    loggers: Iterable[Logger], report: dict[str, Any], picture: Image.Image
) -> None:
    """Show the test metrics, the tables and the picture in TensorBoard."""
    for board in boards(loggers):
        for name, kinds in report["metrics"]["trained"].items():
            for kind, estimate in kinds.items():
                board.add_scalar(
                    f"test/{name}{'' if kind == 'micro' else '_macro'}", estimate["value"]
                )
        for column, axis in report.get("axes", {}).items():
            for name, found in axis["metrics"].items():
                board.add_scalar(f"test/axis/{column}/{name}", found["trained"]["value"])
        if "graded" in report:
            board.add_scalar(
                "test/graded/ndcg_at_10", report["graded"]["ndcg_at_10"]["trained"]["value"]
            )
        board.add_text("report", markdown(report))
        board.add_image("test/results", np.asarray(picture), dataformats="HWC")
        if rows := report["index"].get("frontier"):
            board.add_image("test/frontier", np.asarray(frontier(rows)), dataformats="HWC")
        board.flush()


def _png(picture: Image.Image) -> bytes:
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
