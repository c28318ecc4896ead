from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.bundle import canaries
from vsearch.bundle.generations.checked_files import check_file
from vsearch.bundle.generations.live import Live
from vsearch.bundle.trial_queries import QUERIES
from vsearch.data.items import boxes, read_table
from vsearch.data.photos import PhotoError, Preprocessing, read_square
from vsearch.errors import BundleError

MOST = 500


@dataclass(frozen=True)
class Held:
    """Photos that an export is tried with.

    Attributes:
        squares: uint8 (n, 3, S, S), as `images.to_square` makes them.
        labels: text (n,); empty where it isn't known.
        own: int (n,), the photo's position among the items; -1 where it is none of them.
        origin: what they are, in words.
    """

    squares: np.ndarray
    labels: np.ndarray
    own: np.ndarray
    origin: str


def held(live: Live, preprocessing: Preprocessing, given: Sequence[Path] = ()) -> Held:
    """Return photos to try an export with: those `given`, else up to 500 of the run's test photos,
    else of the items.

    The bundle's stored photos are always among them.

    Raises:
        BundleError: there are none.
        PhotoError: a given one can't be used.
    """
    if given:
        squares = [read_square(path, preprocessing) for path in given]
        labels, own = [""] * len(given), [-1] * len(given)
        origin = f"{len(given):,} given photos"
    else:
        table, name = _table(live)
        rows = np.unique(
            np.linspace(0, max(0, len(table) - 1), min(MOST, len(table))).astype(np.int64)
        )
        squares, kept = readable(table.take(pa.array(rows)), preprocessing)
        places = {id: row for row, id in enumerate(live.items["id"].to_pylist())}
        labels, own = (
            kept["label"].to_pylist(),
            [places.get(id, -1) for id in kept["id"].to_pylist()],
        )
        origin = f"{len(squares):,} {name}"
    if canaries.FILE in live.fitted["sha256"]:
        check_file(live.bundle, canaries.FILE, live.fitted)
        stored = [*canaries.squares(live.bundle)]
        squares, labels, own = (
            squares + stored,
            labels + [""] * len(stored),
            own + [-1] * len(stored),
        )
        origin += f" and the bundle's {len(stored)} stored ones"
    if not squares:
        raise BundleError(
            f"{live.bundle}: none of its photos is there to prove an export with; name some with "
            "--photos."
        )
    return Held(np.stack(squares), np.array(labels, dtype=object), np.array(own), origin)


def readable(table: pa.Table, preprocessing: Preprocessing) -> tuple[list[np.ndarray], pa.Table]:
    """Return the photos of a table that can be read, uint8 (3, S, S) each, and their rows."""
    squares, good = [], []
    paths = table["path"].to_pylist() if "path" in table.column_names else []
    for row, (path, box) in enumerate(zip(paths, boxes(table), strict=True)):
        try:
            squares.append(read_square(path, preprocessing, box))
            good.append(row)
        except PhotoError:
            continue
    return squares, table.take(pa.array(good, pa.int64()))


def _table(live: Live) -> tuple[pa.Table, str]:
    if QUERIES in live.fitted["sha256"]:
        check_file(live.bundle, QUERIES, live.fitted)
        table = read_table(live.bundle / QUERIES)
        if any(Path(path).is_file() for path in table["path"].to_pylist()):
            return table, "of the run's test photos"
    return live.items, "of the items' photos"
