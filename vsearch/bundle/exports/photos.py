from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.bundle import canaries
from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.live import Live
from vsearch.bundle.samples import evenly, readable
from vsearch.bundle.trial_queries import run_queries
from vsearch.data.photos import Preprocessing, read_square
from vsearch.errors import BundleError

MOST = 500


@dataclass(frozen=True)
class Held:
    """Photos to test an export with.

    Attributes:
        squares: uint8 (n, 3, S, S).
        labels: text (n,); empty if unknown.
        own: int (n,), the photo's row among the items; -1: none.
        origin: where they come from, in words.
    """

    squares: np.ndarray
    labels: np.ndarray
    own: np.ndarray
    origin: str


def held(live: Live, preprocessing: Preprocessing, given: Sequence[Path] = ()) -> Held:
    """Return photos to test an export with.

    They are those `given`, else up to 500 of the run's test photos, else of the items. The bundle's
    stored photos are always included.

    Raises:
        BundleError: there are none.
        PhotoError: a given photo can't be used.
    """
    if given:
        squares = [read_square(path, preprocessing) for path in given]
        labels = [""] * len(given)
        own = [-1] * len(given)
        origin = f"{len(given):,} given photos"
    else:
        table, name = _table(live)
        some = table.take(pa.array(evenly(len(table), MOST)))
        squares, kept = readable(some, preprocessing)
        labels = kept["label"].to_pylist()
        own = live.rows_of(kept["id"].to_pylist()).tolist()
        origin = f"{len(squares):,} {name}"
    if canaries.FILE in live.fitted["sha256"]:
        check_file(live.bundle, canaries.FILE, live.fitted)
        stored = canaries.squares(live.bundle)
        squares += [*stored]
        labels += [""] * len(stored)
        own += [-1] * len(stored)
        origin += f" and the bundle's {len(stored)} stored ones"
    if not squares:
        raise BundleError(
            f"{live.bundle}: its photos are missing, but the export needs some; name them with "
            "--photos."
        )
    return Held(np.stack(squares), np.array(labels, dtype=object), np.array(own), origin)


def _table(live: Live) -> tuple[pa.Table, str]:
    table = run_queries(live)
    if table is not None and any(Path(path).is_file() for path in table["path"].to_pylist()):
        return table, "of the run's test photos"
    return live.items, "of the items' photos"
