import csv as csv_files
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from vsearch.data.items import RENAMED
from vsearch.data.regions import in_words
from vsearch.plain_text import in_spreadsheet, on_terminal

PARTS = {"region": "part", "query_region": "of query"}  # of photos, and their titles
MEANT = {
    "region": "the part of the hit's photo that matched",
    "query_region": "the part of your photo that matched",
}
FIRST = ("query", "rank", "id", "label", "similarity_percent", "probability", "path")


def text(answers: Iterable[dict[str, Any]], with_metadata: bool = False) -> str:
    """Return each query and a line for each of its hits, nothing shortened.

    Args:
        answers: as `vsearch search --json` prints them.
        with_metadata: add each hit's metadata at the end of its line.
    """
    lines = []
    for answer in answers:
        lines.append(answer["query"])
        judged = any(hit["probability"] is not None for hit in answer["hits"])
        grouped = any(hit.get("group_size") for hit in answer["hits"])
        parts = [name for name in PARTS if any(hit.get(name) for hit in answer["hits"])]
        header = ["rank", "similar", *(["right"] if judged else [])]
        header += ["photos"] if grouped else []
        header += [*(PARTS[name] for name in parts), "label", "id", "path"]
        rows = [_cells(hit, judged, parts, with_metadata) for hit in answer["hits"]]
        lines += _aligned([header, *rows]) if rows else ["No hits."]
        if judged:
            lines.append("similar: the cosine. right: the probability that the label is right.")
        if grouped:
            lines.append("photos: how many the hit's product, or other group, has.")
        if parts:
            lines.append(
                "; ".join(f"{PARTS[name]}: {MEANT[name]}" for name in parts)
                + "; in percent, across x down."
            )
        if answer["good_match"] is False:
            limit = f"{100 * answer['threshold']:.1f} %"
            lines.append(f"No good match: no hit reaches {limit}, the calibrated threshold.")
        if answer["synthetic"]:
            lines.append("The photos of this catalog are SYNTHETIC, drawn by vsearch.")
    return "\n".join(map(on_terminal, lines))


def csv(answers: Iterable[dict[str, Any]]) -> str:
    """Return all hits as CSV: the query, the hit, its metadata."""
    rows: list[dict[str, Any]] = []
    metadata = set()
    for answer in answers:
        for hit in answer["hits"]:
            own = _beside(hit)
            metadata |= set(own)
            rows.append({"query": answer["query"], **hit, **own})
    told = [name for name in ("group_size", *PARTS) if any(row.get(name) for row in rows)]
    columns = [*FIRST, *told, *sorted(metadata - {*FIRST, *told})]
    file = StringIO()
    writer = csv_files.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: in_spreadsheet(value) for name, value in row.items()})
    return file.getvalue()


def shown_metadata(hit: dict[str, Any]) -> str:
    """Return a hit's metadata in words, without missing values."""
    known = {name: value for name, value in hit["metadata"].items() if value is not None}
    return ", ".join(f"{name}: {value}" for name, value in known.items())


def _beside(hit: dict[str, Any]) -> dict[str, Any]:
    """Return a hit's metadata, renamed where the hit says something of that name itself."""
    metadata = {}
    for name, value in hit["metadata"].items():
        taken = hit.get(name) is not None
        metadata[RENAMED.get(name, name) if taken else name] = value
    return metadata


def _cells(
    hit: dict[str, Any], judged: bool, parts: Sequence[str], with_metadata: bool
) -> list[str]:
    cells = [str(hit["rank"]), f"{hit['similarity_percent']:.1f} %"]
    if judged:
        cells.append(f"{100 * hit['probability']:.0f} %")
    if hit.get("group_size"):
        cells.append(str(hit["group_size"]))
    cells += [in_words(hit[name]) if hit[name] else "whole" for name in parts]
    cells += [hit["label"], hit["id"], hit["path"]]
    if with_metadata:
        cells.append(shown_metadata(hit))
    return cells


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, with columns as wide as their longest cell."""
    rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=False)]
    lines = []
    for row in rows:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*padded, *row[len(widths) :]]).rstrip())
    return lines
