import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.checked_files import check_file, measured
from vsearch.bundle.generations.layout import CHANGES, ITEMS, VECTORS
from vsearch.bundle.generations.state import Change, now
from vsearch.data.io.atomic import make_folder, next_number
from vsearch.data.items import read_table, table_bytes
from vsearch.errors import BundleError

REMOVED = "removed.json"


def write_change(
    bundle: Path, removed: list[str], items: pa.Table, embeddings: np.ndarray
) -> Change:
    """Write a change beside the others; it counts once a state names it.

    Args:
        bundle: whose `changes/` it goes to.
        removed: ids that are taken out first.
        items: rows that are appended then: id, path, label, metadata.
        embeddings: float32 (len(items), dim), unit length.

    Raises:
        OSError: it could not be written; nothing is left.
    """
    folder = bundle / CHANGES / f"{next_number(bundle / CHANGES):06d}"

    def fill(made: Path) -> None:
        (made / REMOVED).write_text(json.dumps(removed))
        if len(items):
            (made / ITEMS).write_bytes(table_bytes(items))
            with (made / VECTORS).open("wb") as file:
                np.save(file, embeddings)
        kept.update(measured(made))

    kept: dict[str, dict] = {}
    make_folder(folder, fill)
    return Change(folder.name, now(), len(items), len(removed), kept["bytes"], kept["sha256"])


def read_change(bundle: Path, change: Change) -> tuple[list[str], pa.Table, np.ndarray]:
    """Return the ids that a change takes out, the rows that it appends, and their embeddings (m,
    dim).

    Raises:
        BundleError: a file of it is missing or damaged.
    """
    folder = bundle / CHANGES / change.name
    check_change(bundle, change)
    removed = json.loads((folder / REMOVED).read_text())
    if not change.added:
        return (
            removed,
            pa.table({"id": pa.array([], pa.string())}),
            np.empty((0, 0), dtype=np.float32),
        )
    items, embeddings = read_table(folder / ITEMS), np.load(folder / VECTORS)
    if not len(items) == len(embeddings) == change.added:
        raise BundleError(
            f"{folder}: {len(items)} items, {len(embeddings)} embeddings, {change.added} announced."
        )
    return removed, items, embeddings


def check_change(bundle: Path, change: Change) -> None:
    """Compare a change's files with the lengths and SHA-256 in the state.

    Raises:
        BundleError: a file is missing or damaged.
    """
    for name in change.sha256:
        check_file(
            bundle / CHANGES / change.name, name, {"bytes": change.bytes, "sha256": change.sha256}
        )
