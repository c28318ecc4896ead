from typing import Any
from urllib.parse import quote

import numpy as np

from vsearch.evaluation.calibration import Calibration
from vsearch.search.best_hits import Hits
from vsearch.serving.api.facets import HIDDEN
from vsearch.serving.api.opened import Opened
from vsearch.serving.messages import Hit, Item, SearchReply, Took, Wishes


def reply(
    opened: Opened,
    root: str,
    found: Hits,
    wishes: Wishes,
    took: Took,
    calibration: Calibration | None,
) -> SearchReply:
    """Return the reply of hits as `Searcher.find` returns them; `calibration`, where there is one
    for such a query.

    `root`: the path under which the service is offered.
    """
    scores, positions = found[0].astype(float), found[1]
    right = (
        [None] * len(scores) if calibration is None else calibration.probability(scores).tolist()
    )
    hits = [
        Hit(
            rank=rank,
            id=row["id"],
            label=row["label"],
            score=score,
            similarity_percent=round(100 * score, 1),
            probability=probability,
            metadata=_metadata(row),
            thumbnail_url=image_url(row, root),
        )
        for rank, (row, score, probability) in enumerate(
            zip(opened.rows.at(positions), scores.tolist(), right, strict=True), start=1
        )
    ]
    good = None if calibration is None else calibration.good_match(hits[0].score if hits else None)
    message = _unfound(opened, wishes) if not hits else None
    if hits and good is False and calibration is not None and calibration.threshold is not None:
        best, least = 100 * hits[0].score, 100 * calibration.threshold
        message = f"No good match: the best hit is {best:.1f} % similar; a good match is {least:.1f} % or more."
    return SearchReply(hits=hits, good_match=good, message=message, took_ms=took)


def item(opened: Opened, root: str, position: int) -> Item:
    """Return an indexed item."""
    (row,) = opened.rows.at(np.array([position]))
    return Item(
        id=row["id"], label=row["label"], metadata=_metadata(row), image_url=image_url(row, root)
    )


def image_url(row: dict[str, Any], root: str) -> str | None:
    """Return where an item's photo is offered; None: it has none."""
    return f"{root}/v1/items/{quote(row['id'], safe='')}/image" if row.get("path") else None


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("label", *HIDDEN)}


def _unfound(opened: Opened, wishes: Wishes) -> str:
    if wishes.where is not None and (reasons := opened.bundle.unmet(wishes.where)):
        return "; ".join(reasons)
    meets = "" if wishes.where is None else "meets the filter"
    near = "" if wishes.min_score is None else f"is at least {100 * wishes.min_score:g} % similar"
    return f"No item {' and '.join(filter(None, (meets, near))) or 'is left'}."


def unit(vector: list[float], dim: int) -> np.ndarray | str:
    """Return an embedding that a client sent as a unit vector, float32 (1, dim), or what is wrong
    with it.
    """
    values = np.array(vector, dtype=np.float64)
    if len(values) != dim:
        return f"embedding: {len(values)} numbers; this model's embeddings have {dim}."
    largest = np.abs(values).max()
    if not 0 < largest < np.inf:  # NaN neither
        return "embedding: its numbers must be finite and not all 0."
    values /= largest  # squares of large numbers overflow
    return (values / np.linalg.norm(values)).astype(np.float32)[None]
