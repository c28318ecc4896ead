from dataclasses import dataclass

from vsearch.reports.html.findings import Findings
from vsearch.reports.html.photos import Photos


@dataclass(frozen=True)
class Picture:
    """One photo of a row: its key among the report's photos, and its text.

    `right` says whether a hit has the query's label; `score` is its cosine, if known.
    """

    key: str
    id: str
    label: str
    right: bool | None = None
    score: float | None = None


@dataclass(frozen=True)
class PictureRow:
    """A query and its best hits."""

    query: Picture
    hits: list[Picture]
    note: str = ""


def picture_row(
    findings: Findings, photos: Photos, position: int, depth: int = 8, note: str = ""
) -> PictureRow:
    """Return the query at `position` with its `depth` best hits, and request their photos."""
    asked = findings.queries.iloc[position]
    items = findings.items
    found = [int(hit) for hit in asked["hits"][:depth]]
    scores = asked["scores"][:depth] if "scores" in asked else [None] * len(found)

    key = photos.want(findings.queries, position, "query")
    query = Picture(key, str(asked["id"]), str(asked["label"]))
    hits = [
        Picture(
            photos.want(items, hit, "item"),
            str(items["id"].iloc[hit]),
            str(findings.labels[hit]),
            bool(findings.labels[hit] == asked["label"]),
            None if score is None else float(score),
        )
        for hit, score in zip(found, scores, strict=True)
    ]
    return PictureRow(query, hits, note)
