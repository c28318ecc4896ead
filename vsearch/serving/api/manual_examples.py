"""Worked examples for the OpenAPI file, all from the demo catalog's bundle."""

from typing import Any

from fastapi.openapi.models import Example

from vsearch.serving.messages import (
    BatchReply,
    EmbedReply,
    ExplainReply,
    Heatmap,
    Hit,
    Item,
    ItemsReply,
    Message,
    SearchReply,
    Took,
)

ID, OTHER, UNLIKE = "demo-00081", "demo-00287", "demo-02079"  # indexed with data.split.seed 0
WHERE = "colour in (red, orange)"
SEARCHES: dict[str, Example] = {
    "more like this": {"value": {"positive": [{"id": ID}], "k": 5}},
    "like these, unlike that": {
        "value": {
            "positive": [{"id": ID, "weight": 2}, {"id": OTHER}],
            "negative": [{"id": UNLIKE}],
            "k": 10,
        }
    },
    "filtered, one of a kind": {
        "value": {
            "positive": [{"id": ID}],
            "where": "colour in (red, orange) and not gender = men",
            "min_score": 0.5,
            "group_by": "pattern",
        }
    },
}
BATCH: dict[str, Example] = {
    "two searches": {
        "value": {
            "searches": [{"positive": [{"id": ID}], "k": 3}, {"positive": [{"id": OTHER}], "k": 3}]
        }
    }
}


def shown(example: Message) -> dict[int | str, dict[str, Any]]:
    """Return `responses` for a route, with an example of a good reply."""
    return {200: {"content": {"application/json": {"example": example.model_dump()}}}}


SEARCH_REPLY = SearchReply(
    hits=[
        Hit(
            rank=1,
            id=OTHER,
            label="backpack",
            score=0.9890555739402771,
            similarity_percent=98.9,
            probability=0.9995821145006267,
            metadata={
                "category": "accessories",
                "colour": "pink",
                "pattern": "dots",
                "gender": "unisex",
            },
            thumbnail_url=f"/v1/items/{OTHER}/image",
        )
    ],
    good_match=True,
    message=None,
    took_ms=Took(decode=0.0, embed=0.0, search=7.35),
)
BATCH_REPLY = BatchReply(replies=[SEARCH_REPLY])
EMBED_REPLY = EmbedReply(  # with 4 dimensions, to be short
    embedding=[0.5, -0.5, 0.5, 0.5], dim=4, took_ms=Took(decode=1.34, embed=50.95, search=0.0)
)
EXPLAIN_REPLY = ExplainReply(
    id=ID,
    score=0.987963786775186,
    query=Heatmap(parts=[[0.2965, 0.2544], [0.2451, 0.1919]], box=(0.0, 0.0, 1.0, 1.0)),
    item=Heatmap(parts=[[0.2964, 0.2630], [0.2341, 0.1944]], box=(0.0, 0.0, 1.0, 1.0)),
)
ITEM = Item(
    id=ID,
    label="backpack",
    metadata={
        "category": "accessories",
        "colour": "orange",
        "pattern": "checks",
        "gender": "women",
    },
    image_url=f"/v1/items/{ID}/image",
)
ITEMS_REPLY = ItemsReply(items=[ITEM], total=1920)
