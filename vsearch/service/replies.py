import json
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from vsearch.calibration import Calibration
from vsearch.service.facets import HIDDEN
from vsearch.service.opened import Opened
from vsearch.service.schemas import Hit, Item, SearchReply, Took


def reply(
    opened: Opened, root: str, table: pd.DataFrame, where: str | None, took: Took, calibration: Calibration | None
) -> SearchReply:
    """Return the reply of hits as `Bundle.search` returns them; `calibration`, where there is one for such a query.

    `root`: the path under which the service is offered.
    """
    scores = table["score"].to_numpy(dtype=float)
    right = [None] * len(table) if calibration is None else calibration.probability(scores).tolist()
    hits = [
        Hit(
            rank=row["rank"],
            id=row["id"],
            label=row["label"],
            score=score,
            similarity_percent=round(100 * score, 1),
            probability=probability,
            metadata=_metadata(row),
            thumbnail_url=image_url(row, root),
        )
        for row, score, probability in zip(_rows(table), scores.tolist(), right, strict=True)
    ]
    good = None if calibration is None else calibration.good_match(hits[0].score if hits else None)
    message = _unfound(opened, where) if not hits else None
    if hits and calibration is not None and good is False:
        best, least = hits[0].score, calibration.threshold
        message = f"No good match: the best score is {best:.3f}; a good match has {least:.3f} or more."
    return SearchReply(hits=hits, good_match=good, message=message, took_ms=took)


def item(opened: Opened, root: str, position: int) -> Item:
    """Return an indexed item."""
    (row,) = _rows(opened.bundle.items.iloc[[position]])
    return Item(id=row["id"], label=row["label"], metadata=_metadata(row), image_url=image_url(row, root))


def image_url(row: dict[str, Any], root: str) -> str | None:
    """Return where an item's photo is offered; None: it has none."""
    return f"{root}/v1/items/{quote(row['id'], safe='')}/image" if row.get("path") else None


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))  # JSON's own types, null for missing
    return rows


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("rank", "score", "label", *HIDDEN)}


def _unfound(opened: Opened, where: str | None) -> str:
    if where is None:
        return "No item meets the wishes."
    return "; ".join(opened.bundle.unmet(where)) or "No item meets the filter and the wishes."


def unit(vector: list[float], dim: int) -> np.ndarray | str:
    """Return an embedding that a client sent as a unit vector, float32 (1, dim), or what is wrong with it."""
    values = np.array(vector, dtype=np.float64)
    if len(values) != dim:
        return f"embedding: {len(values)} numbers; this model's embeddings have {dim}."
    largest = np.abs(values).max()
    if not 0 < largest < np.inf:  # NaN neither
        return "embedding: its numbers must be finite and not all 0."
    values /= largest  # squares of large numbers overflow
    return (values / np.linalg.norm(values)).astype(np.float32)[None]
