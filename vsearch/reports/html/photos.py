from dataclasses import dataclass

import pandas as pd
from rich.console import Console
from rich.progress import track

from vsearch.data.decoding import in_threads
from vsearch.data.items import boxes
from vsearch.data.photos import Box
from vsearch.reports.html.thumbnail import thumbnail

LARGE = 88  # pixels of the longest side in picture rows
SMALL = 48  # and in the map


@dataclass(frozen=True)
class Wanted:
    """A photo file, maybe a box to cut out, and the pixels of the longest side."""

    path: str
    box: Box | None
    side: int


class Photos:
    """A report's photos, each once, in the order of its requests."""

    def __init__(self) -> None:
        self._wanted: dict[str, Wanted] = {}

    def want(self, items: pd.DataFrame, position: int, kind: str, side: int = LARGE) -> str:
        """Request the photo of a row of `items`; return its key in the report.

        `kind` names the table: `query`, `item`.
        """
        key = f"{kind}-{position}-{side}"
        if key not in self._wanted:
            row = items.iloc[[position]]
            self._wanted[key] = Wanted(str(row["path"].iloc[0]), boxes(row)[0], side)
        return key

    def encoded(self, most_bytes: int) -> dict[str, str]:
        """Return photos as JPEG data URIs by key: the first ones that fit into `most_bytes`.

        Photos that can no longer be read are left out.
        """
        found: dict[str, str] = {}
        uris = in_threads(_encoded, self._wanted.values())
        console = Console(stderr=True)
        made = track(uris, "Thumbnails", total=len(self._wanted), console=console)
        for key, uri in zip(self._wanted, made, strict=True):
            cost = len(key) + len(uri or "") + len('"":"",')
            if uri is not None and cost <= most_bytes:
                found[key] = uri
                most_bytes -= cost
        return found


def _encoded(wanted: Wanted) -> str | None:
    return thumbnail(wanted.path, wanted.box, wanted.side)
