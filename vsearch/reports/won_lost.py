import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, open_photo
from vsearch.evaluation.comparing.comparison import Comparison
from vsearch.evaluation.comparing.runs import Run
from vsearch.reports.grid import CELL, GAP, Shown, grid

TITLE = 22  # pixels of a panel's heading
MISSING = Image.new("RGB", (CELL, CELL), (203, 213, 225))  # stands for a photo that is gone


def won_lost(comparison: Comparison, n: int = 5, k: int = 5) -> Image.Image | None:
    """Draw the `n` queries that won most and the `n` that lost most: left what the base found,
    right the run.

    None if no query changed.
    """
    won, lost = comparison.won_and_lost()
    kinds = [
        _kind(comparison, title, found[:n], k)
        for title, found in (("Won", won), ("Lost", lost))
        if len(found)
    ]
    return _joined(kinds, down=True) if kinds else None


def _kind(comparison: Comparison, title: str, positions: np.ndarray, k: int) -> Image.Image:
    runs = (comparison.base, comparison.run)
    return _joined(
        [_panel(f"{title}: {run.name} finds", run, positions, k) for run in runs], down=False
    )


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


def _joined(parts: list[Image.Image], down: bool) -> Image.Image:
    widths, heights = [part.width for part in parts], [part.height for part in parts]
    size = (max(widths), sum(heights)) if down else (sum(widths), max(heights))
    sheet, at = Image.new("RGB", size, "white"), 0
    for part in parts:
        sheet.paste(part, (0, at) if down else (at, 0))
        at += part.height if down else part.width
    return sheet
