from collections.abc import Iterable
from typing import Any

from vsearch.data.items import BOX
from vsearch.data.photos import Box
from vsearch.data.regions import in_words
from vsearch.reports.html.render import render
from vsearch.reports.html.thumbnail import thumbnail
from vsearch.reports.search_results import PARTS, shown_metadata

SIDE = 200  # pixels


def search_page(answers: Iterable[dict[str, Any]]) -> str:
    """Return queries and their hits, with pictures, as one self-contained HTML file.

    Args:
        answers: as `vsearch search --json` prints them.
    """
    shown = [
        {
            "query": answer["query"],
            "picture": thumbnail(answer["query"], None, SIDE),
            "good_match": answer["good_match"],
            "synthetic": answer["synthetic"],
            "hits": [
                {
                    **hit,
                    "picture": thumbnail(hit["path"], _box(hit["metadata"]), SIDE, hit["region"]),
                    "parts": [
                        f"{title} {in_words(hit[name])}"
                        for name, title in PARTS.items()
                        if hit[name]
                    ],
                    "details": shown_metadata(hit),
                }
                for hit in answer["hits"]
            ],
        }
        for answer in answers
    ]
    return render("search.html", answers=shown)


def _box(metadata: dict[str, Any]) -> Box | None:
    x_1, y_1, x_2, y_2 = (metadata.get(name) for name in BOX)
    if x_1 is None or y_1 is None or x_2 is None or y_2 is None:
        return None
    return x_1, y_1, x_2, y_2
