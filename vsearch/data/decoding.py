import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pandas as pd
from rich.progress import track

from vsearch.data.photos import Box, PhotoError, open_photo, pixel_hash

Source = TypeVar("Source")
Found = TypeVar("Found")


def scan(items: pd.DataFrame, boxes: Sequence[Box | None]) -> pd.DataFrame:
    """Decode every photo once, before training.

    Returns:
        One row per item, same index: `content_hash` (equal for pixel-identical photos; null if
        broken) and `error` (null if the photo is fine).
    """
    hashes: list[str | None] = []
    errors: list[str | None] = []
    sources = zip(items["path"], boxes, strict=True)
    for content_hash, error in track(
        in_threads(_look, sources), "Checking photos", total=len(items)
    ):
        hashes.append(content_hash)
        errors.append(error)
    return pd.DataFrame({"content_hash": hashes, "error": errors}, index=items.index, dtype=object)


def _look(source: tuple[str, Box | None]) -> tuple[str | None, str | None]:
    try:
        return pixel_hash(open_photo(*source)), None
    except PhotoError as error:
        return None, str(error)


def in_threads(
    function: Callable[[Source], Found], sources: Iterable[Source], threads: int | None = None
) -> Iterator[Found]:
    """Yield `function` of each source, in order; the default is a thread per core.

    It reads only a few sources ahead: `ThreadPoolExecutor.map` would queue all of them at once.
    """
    threads = threads or os.cpu_count() or 1
    pending: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for source in sources:
            pending.append(pool.submit(function, source))
            if len(pending) == 16 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
