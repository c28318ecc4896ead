from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from jinja2 import Environment, PackageLoader
from PIL import Image

from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, open_photo
from vsearch.evaluation.catalog_check.check import Checked
from vsearch.reports.catalog_check import report
from vsearch.reports.catalog_check_table import headline

FINDINGS, PHOTOS = 12, 8  # of each kind that are shown; of each finding
SIDE, QUALITY = 96, 80
MOST_BYTES = 8_000_000  # of pictures: the page stays below 10 MB


class Pictures:
    """Small pictures of a catalog's photos as data URIs, until there are too many bytes of them."""

    def __init__(self, checked: Checked) -> None:
        self._items, self._bytes = checked.catalog.items, 0
        self._made: dict[int, str] = {}

    def __getitem__(self, row: int) -> str:
        """Return the photo in a row of the items; empty if it can't be read, or is one too many."""
        if row not in self._made:
            uri = self._drawn(row) if self._bytes < MOST_BYTES else ""
            self._bytes += len(uri)
            self._made[row] = uri
        return self._made[row]

    def _drawn(self, row: int) -> str:
        item = self._items.iloc[[row]]
        try:
            photo = open_photo(item["path"].iloc[0], boxes(item)[0], side=SIDE)
        except PhotoError:
            return ""
        photo.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        data = BytesIO()
        photo.save(data, "JPEG", quality=QUALITY)
        return f"data:image/jpeg;base64,{b64encode(data.getvalue()).decode()}"


def page(checked: Checked) -> str:
    """Return the findings as one HTML page with pictures, that loads nothing: the worst of each
    kind.
    """
    whole, pictures = report(checked), Pictures(checked)
    kinds = [
        {"name": name, **kind, "shown": _shown(checked, name, pictures)}
        for name, kind in whole["kinds"].items()
        if kind["findings"]
    ]
    well = [
        name for name, kind in whole["kinds"].items() if kind["checked"] and not kind["findings"]
    ]
    skipped = [name for name, kind in whole["kinds"].items() if not kind["checked"]]
    environment = Environment(
        loader=PackageLoader("vsearch.reports", "html"), autoescape=True, trim_blocks=True
    )
    return environment.get_template("check.html").render(
        headline=headline(whole), kinds=kinds, well=well, skipped=skipped, limits=whole["limits"]
    )


def _shown(checked: Checked, kind: str, pictures: Pictures) -> list[Mapping[str, Any]]:
    found = [finding for finding in checked.findings if finding.kind == kind]
    return [
        {
            "text": finding.text,
            "photos": [_photo(checked, row, pictures) for row in finding.rows[:PHOTOS]],
            "more": max(0, len(finding.rows) - PHOTOS),
            "others": [_photo(checked, row, pictures) for row in finding.others],
        }
        for finding in found[:FINDINGS]
    ]


def _photo(checked: Checked, row: int, pictures: Pictures) -> dict[str, str]:
    item = checked.catalog.items.iloc[row]
    part = str(item.get("part", ""))
    return {
        "id": item["id"],
        "label": item["label"],
        "path": item["path"],
        "part": part,
        "picture": pictures[row],
    }
