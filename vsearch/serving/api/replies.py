from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from vsearch.data.items import plain_rows
from vsearch.search.best_hits import Hits
from vsearch.search.matched_parts import MatchedParts
from vsearch.serving.api.facets import HIDDEN
from vsearch.serving.api.served_bundle import ServedBundle
from vsearch.serving.messages import Hit, Item, SearchOptions, SearchReply, Took


def search_reply(
    bundle: ServedBundle,
    root_path: str,
    found: Hits,
    parts: Sequence[MatchedParts],
    options: SearchOptions,
    took: Took,
    calibrated: bool,
) -> SearchReply:
    """Return the reply for hits; `calibrated`: the bundle's calibration applies to the search."""
    calibration = bundle.calibration if calibrated else None
    scores = found[0].astype(float)
    probabilities = [None] * len(scores)
    if calibration is not None:
        probabilities = calibration.probability(scores).tolist()
    hits: list[Hit] = []
    found_sizes = bundle.searcher.group_sizes(found[1], options.group_by, options.each_photo)
    sizes = [None] * len(scores) if found_sizes is None else found_sizes.tolist()
    rows = plain_rows(bundle.searcher.items, found[1])
    for row, score, probability, size, part in zip(
        rows, scores.tolist(), probabilities, sizes, parts, strict=True
    ):
        hit = Hit(
            rank=len(hits) + 1,
            id=row["id"],
            label=row["label"],
            score=score,
            similarity_percent=round(100 * score, 1),
            probability=probability,
            metadata=_metadata(row),
            thumbnail_url=_image_url(row, root_path),
            group_size=size,
            region=part.item,
            query_region=part.query,
        )
        hits.append(hit)

    best = hits[0].score if hits else None
    good_match = None if calibration is None else calibration.good_match(best)
    message = None
    if best is None:
        message = _why_nothing(bundle, options)
    elif good_match is False and calibration is not None and calibration.threshold is not None:
        message = (
            f"No good match: the best hit is {100 * best:.1f} % similar; a good match is "
            f"{100 * calibration.threshold:.1f} % or more."
        )
    return SearchReply(hits=hits, good_match=good_match, message=message, took_ms=took)


def items_at(bundle: ServedBundle, root_path: str, positions: Iterable[int]) -> list[Item]:
    """Return the indexed items at these rows."""
    items = []
    rows = np.array(list(positions), dtype=np.int64)
    for row in plain_rows(bundle.searcher.items, rows):
        url = _image_url(row, root_path)
        items.append(Item(id=row["id"], label=row["label"], metadata=_metadata(row), image_url=url))
    return items


def _image_url(row: dict[str, Any], root_path: str) -> str | None:
    """Return the URL of an item's photo; None: it has none."""
    return f"{root_path}/v1/items/{quote(row['id'], safe='')}/image" if row.get("path") else None


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("label", *HIDDEN)}


def _why_nothing(bundle: ServedBundle, options: SearchOptions) -> str:
    demands = []
    if options.where is not None:
        unmet = bundle.searcher.unmet(options.where)
        if unmet:
            return "; ".join(unmet)
        demands.append("meets the filter")
    if options.min_score is not None:
        demands.append(f"is at least {100 * options.min_score:g} % similar")
    return f"No item {' and '.join(demands) or 'is left'}."
