from dataclasses import dataclass

import pandas as pd
from rich.console import Console
from rich.progress import track

from vsearch.data.decoding import in_threads
from vsearch.data.items import boxes
from vsearch.data.photos import Box
from vsearch.reports.html.thumbnail import thumbnail

LARGE = 88  # pixels of the longest side in picture rows
SMALL = 48  # and of the map's points


@dataclass(frozen=True)
class Wanted:
    """A photo file, maybe the box that is cut out of it, and the pixels of its longest side."""

    path: str
    box: Box | None
    side: int


class Photos:
    """The photos that a report shows, each once, in the order in which it asked for them."""

    def __init__(self) -> None:
        self._wanted: dict[str, Wanted] = {}

    def want(self, items: pd.DataFrame, position: int, kind: str, side: int = LARGE) -> str:
        """Ask for the photo of a row of `items`, and return the key by which the report finds it.

        `kind` tells one table from another: `query`, `item`.
        """
        key = f"{kind}-{position}-{side}"
        if key not in self._wanted:
            row = items.iloc[[position]]
            self._wanted[key] = Wanted(str(row["path"].iloc[0]), boxes(row)[0], side)
        return key

    def encoded(self, most_bytes: int) -> dict[str, str]:
        """Return photos as JPEG data URIs by their keys: the first that `most_bytes` hold.

        A photo that can't be read any more is left out.
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
