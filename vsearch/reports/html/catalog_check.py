from collections.abc import Sequence
from typing import Any

from vsearch.evaluation.catalog_check.check import Checked
from vsearch.reports.catalog_check import report
from vsearch.reports.catalog_check_table import headline
from vsearch.reports.html.photos import Photos
from vsearch.reports.html.render import render

FINDINGS = 12  # shown of each kind
PHOTOS = 8  # shown of each finding
SIDE = 96  # pixels
MOST_BYTES = 8_000_000  # for pictures: the file stays below 10 MB


def catalog_check_html(checked: Checked) -> str:
    """Return the worst findings of each kind, with pictures, as one self-contained HTML file."""
    whole = report(checked)
    photos = Photos()
    kinds = [
        {"name": name, **kind, "shown": _shown(checked, name, photos)}
        for name, kind in whole["kinds"].items()
        if kind["findings"]
    ]
    checked_kinds = {name: kind for name, kind in whole["kinds"].items() if kind["checked"]}
    return render(
        "catalog_check.html",
        headline=headline(whole),
        kinds=kinds,
        well=[name for name, kind in checked_kinds.items() if not kind["findings"]],
        skipped=[name for name in whole["kinds"] if name not in checked_kinds],
        limits=whole["limits"],
        photos=photos.encoded(MOST_BYTES),
    )


def _shown(checked: Checked, kind: str, photos: Photos) -> list[dict[str, Any]]:
    found = [finding for finding in checked.findings if finding.kind == kind]
    return [
        {
            "text": finding.text,
            "photos": _photos(checked, finding.rows[:PHOTOS], photos),
            "more": max(0, len(finding.rows) - PHOTOS),
            "others": _photos(checked, finding.others, photos),
        }
        for finding in found[:FINDINGS]
    ]


def _photos(checked: Checked, rows: Sequence[int], photos: Photos) -> list[dict[str, str]]:
    items = checked.catalog.items
    shown = []
    for row in rows:
        item = items.iloc[row]
        shown.append(
            {
                "key": photos.want(items, row, "item", SIDE),
                "id": item["id"],
                "label": item["label"],
                "path": item["path"],
                "part": str(item.get("part", "")),
            }
        )
    return shown
