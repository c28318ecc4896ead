from base64 import b64encode
from io import BytesIO
from typing import Any

import pandas as pd
from rich.progress import track

from vsearch.data.decoding import in_threads
from vsearch.data.items import boxes
from vsearch.data.photos import Box, PhotoError, open_photo

LARGE, SMALL = 88, 48  # pixels of the longest side: in picture rows, and of the map's points
QUALITY = 74

Source = tuple[str, Box | None, int]


class Photos:
    """The photos that a page wants to show, in the order in which it wants them; each is kept once."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def want(self, items: pd.DataFrame, position: int, kind: str, side: int = LARGE) -> str:
        """Ask for the photo of a row of `items`, and return the key by which the page finds it.

        Args:
            items: a table with `path`, maybe with boxes.
            position: of the row.
            kind: tells one table from another: `query`, `item`.
            side: pixels of the longest side.
        """
        key = f"{kind}-{position}-{side}"
        if key not in self._sources:
            row = items.iloc[[position]]
            self._sources[key] = str(row["path"].iloc[0]), boxes(row)[0], side
        return key

    def encoded(self, most_bytes: int) -> dict[str, str]:
        """Return the photos as JPEG data URIs by their keys, those asked for first, as many as
        `most_bytes` hold.

        A photo that can't be read any more is left out.
        """
        found: dict[str, str] = {}
        made = track(
            in_threads(_encoded, self._sources.values()), "Thumbnails", total=len(self._sources)
        )
        left = most_bytes
        for key, uri in zip(self._sources, made, strict=True):
            cost = len(key) + len(uri or "") + len('"":"",')
            if uri is not None and cost <= left:
                found[key] = uri
                left -= cost
        return found


def _encoded(source: Source) -> str | None:
    path, box, side = source
    try:
        photo = open_photo(path, box, side=side)
    except PhotoError:
        return None
    return data_uri(photo, side)


def data_uri(photo: Any, side: int) -> str:
    """Return a Pillow photo as a JPEG data URI whose longest side has at most `side` pixels."""
    small = photo.copy()
    small.thumbnail((side, side))
    file = BytesIO()
    small.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"
