import json
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from vsearch.service.facets import HIDDEN
from vsearch.service.opened import Opened
from vsearch.service.schemas import Hit, Item, SearchReply, Took


def reply(opened: Opened, table: pd.DataFrame, where: str | None, took: Took) -> SearchReply:
    """Return the reply of hits as `Bundle.search` returns them."""
    scores = table["score"].to_numpy(dtype=float)
    calibration = opened.calibration
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
            thumbnail_url=image_url(row),
        )
        for row, score, probability in zip(_rows(table), scores.tolist(), right, strict=True)
    ]
    good = None if calibration is None else bool(hits and hits[0].score >= calibration.threshold)
    return SearchReply(hits=hits, good_match=good, message=_message(opened, hits, where, good), took_ms=took)


def item(opened: Opened, position: int) -> Item:
    """Return an indexed item."""
    (row,) = _rows(opened.bundle.items.iloc[[position]])
    return Item(id=row["id"], label=row["label"], metadata=_metadata(row), image_url=image_url(row))


def image_url(row: dict[str, Any]) -> str | None:
    """Return where an item's photo is offered; None: it has none."""
    return f"/v1/items/{quote(row['id'], safe='')}/image" if row.get("path") else None


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))  # JSON's own types, null for missing
    return rows


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("rank", "score", "label", *HIDDEN)}


def _message(opened: Opened, hits: list[Hit], where: str | None, good: bool | None) -> str | None:
    if not hits and where is not None:
        reasons = opened.bundle.unmet(where)
        return "; ".join(reasons) or "No item meets the filter and the wishes."
    if not hits:
        return "No item meets the wishes."
    if good is False and opened.calibration is not None:
        threshold = opened.calibration.threshold
        return f"No good match: the best score is {hits[0].score:.3f}; a good match has {threshold:.3f} or more."
    return None


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
