"""Worked examples for the OpenAPI file; ids and values are the demo catalog's."""

from fastapi.openapi.models import Example

SEARCHES: dict[str, Example] = {
    "more like this": {"value": {"positive": [{"id": "demo-00062"}], "k": 5}},
    "like these, unlike that": {
        "value": {
            "positive": [{"id": "demo-00062", "weight": 2}, {"id": "demo-00071"}],
            "negative": [{"id": "demo-00105"}],
            "k": 10,
        }
    },
    "filtered, one of a kind": {
        "value": {
            "positive": [{"id": "demo-00062"}],
            "where": "baseColour in (Red, Blue) and not label = shirt",
            "min_score": 0.5,
            "group_by": "baseColour",
        }
    },
}
BATCH: dict[str, Example] = {
    "two searches": {
        "value": {
            "searches": [{"positive": [{"id": "demo-00062"}], "k": 3}, {"positive": [{"id": "demo-00071"}], "k": 3}]
        }
    }
}
