import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, open_photo
from vsearch.evaluation.comparing.comparison import Comparison
from vsearch.evaluation.comparing.runs import Run
from vsearch.reports.grid import CELL, GAP, Shown, grid

TITLE = 22  # pixels of a panel's heading
MISSING = Image.new("RGB", (CELL, CELL), (203, 213, 225))  # replaces a missing photo


def won_lost(comparison: Comparison, n: int = 5, k: int = 5) -> Image.Image | None:
    """Draw the `n` queries that won most and the `n` that lost most; None if no query changed.

    The base's hits are on the left, the run's on the right.
    """
    won, lost = comparison.won_and_lost()
    kinds = []
    for title, found in (("Won", won), ("Lost", lost)):
        if len(found):
            panels = [
                _panel(f"{title}: {run.name} finds", run, found[:n], k)
                for run in (comparison.base, comparison.run)
            ]
            kinds.append(_joined(panels, down=False))
    return _joined(kinds, down=True) if kinds else None


def _panel(title: str, run: Run, positions: np.ndarray, k: int) -> Image.Image:
    rows = grid([_row(run, position, k) for position in positions])
    panel = Image.new("RGB", (rows.width, rows.height + TITLE), "white")
    ImageDraw.Draw(panel).text(
        (GAP, GAP // 2), title, fill="black", font=ImageFont.load_default(size=13)
    )
    panel.paste(rows, (0, TITLE))
    return panel


def _row(run: Run, position: int, k: int) -> list[Shown]:
    query = run.queries.iloc[position]
    hits = run.items.iloc[query["hits"][:k]]
    return [
        _shown(query, None),
        *(_shown(hit, hit["label"] == query["label"]) for _, hit in hits.iterrows()),
    ]


def _shown(item: pd.Series, right: bool | None) -> Shown:
    try:
        photo = open_photo(item["path"], boxes(item.to_frame().T)[0])
    except PhotoError:
        photo = MISSING
    return Shown(photo, item["label"], right)


def _joined(panels: list[Image.Image], down: bool) -> Image.Image:
    widths = [panel.width for panel in panels]
    heights = [panel.height for panel in panels]
    size = (max(widths), sum(heights)) if down else (sum(widths), max(heights))
    sheet = Image.new("RGB", size, "white")
    at = 0
    for panel in panels:
        sheet.paste(panel, (0, at) if down else (at, 0))
        at += panel.height if down else panel.width
    return sheet
