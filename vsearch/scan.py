import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
from rich.progress import track

from vsearch.images import PhotoError, open_photo, pixel_hash


def scan(items: pd.DataFrame, boxes: Sequence[tuple[float, float, float, float] | None]) -> pd.DataFrame:
    """Decode every photo once, before training, and report what it is.

    Returns:
        One row per item, same index: `content_hash` (equal for pixel-identical photos; null when broken) and `error`
        (null when the photo is fine).
    """

    def look(source: tuple[str, tuple[float, float, float, float] | None]) -> tuple[str | None, str | None]:
        try:
            return pixel_hash(open_photo(source[0], source[1])), None
        except PhotoError as error:
            return None, str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        found = list(track(pool.map(look, zip(items["path"], boxes, strict=True)), "Checking photos", total=len(items)))
    return pd.DataFrame(found, columns=["content_hash", "error"], index=items.index, dtype=object)
