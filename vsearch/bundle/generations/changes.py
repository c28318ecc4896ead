import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.files import CHANGES, ITEMS, VECTORS, check_file, measured
from vsearch.bundle.generations.state import Change, now
from vsearch.bundle.generations.table_columns import joined
from vsearch.data.io.atomic import make_folder, next_number
from vsearch.data.items import read_table, table_bytes
from vsearch.errors import BundleError

REMOVED = "removed.json"
NO_ITEMS = pa.table({"id": pa.array([], pa.string())})


@dataclass(frozen=True)
class Edit:
    """A change: remove ids, then append rows.

    Attributes:
        items: id, path, label, metadata.
        embeddings: the items' embeddings, float32 (len(items), dim), or with regions (len(items),
            per_item, dim), unit length.
    """

    removed: list[str]
    items: pa.Table
    embeddings: np.ndarray


@dataclass(frozen=True)
class PendingChanges:
    """The sum of several changes on top of a generation.

    Attributes:
        removed: int (r,), ascending: removed positions of the generation.
        items: rows that follow the remaining ones.
        embeddings: their embeddings, as an Edit's.
    """

    removed: np.ndarray
    items: pa.Table
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.removed) + len(self.items)

    def kept(self, n: int) -> np.ndarray:
        """Return int (n - r,): the remaining positions of a generation of `n`."""
        return np.delete(np.arange(n), self.removed)

    def applied(self, items: pa.Table) -> pa.Table:
        """Return the generation's items after the changes."""
        if not len(self):
            return items
        return joined(items.take(pa.array(self.kept(len(items)))), self.items)


def add_up(ids: list[str], shape: tuple[int, ...], edits: Iterable[Edit]) -> PendingChanges:
    """Add up changes on top of a generation's items; an item added and removed again cancels out.

    `shape`: of an item's embeddings, see `live.vector_shape`.

    Raises:
        BundleError: a change removes an id that doesn't exist, or adds one that does.
    """
    there = {id: place for place, id in enumerate(ids)}
    removed: list[int] = []
    came: dict[str, int] = {}  # id to row, of all rows that were ever added
    tables = [NO_ITEMS]
    embeddings = [np.empty((0, *shape), dtype=np.float32)]
    rows = 0
    for edit in edits:
        for id in edit.removed:
            if id in came:
                del came[id]
            elif id in there:
                removed.append(there.pop(id))
            else:
                raise BundleError(f"a change removes id {id!r}, which doesn't exist.")
        for id in edit.items["id"].to_pylist():
            if id in came or id in there:
                raise BundleError(f"a change adds id {id!r}, which already exists.")
            came[id] = rows
            rows += 1
        if len(edit.items):
            tables.append(edit.items)
            embeddings.append(edit.embeddings)

    left = np.array(list(came.values()), dtype=np.int64)
    return PendingChanges(
        np.sort(np.array(removed, dtype=np.int64)),
        joined(*tables).take(pa.array(left)),
        np.concatenate(embeddings)[left],
    )


def write_change(bundle: Path, edit: Edit, photos_root: str) -> Change:
    """Write a change beside the others; it takes effect once a state names it.

    Paths are written relative to `photos_root`.
    """
    folder = bundle / CHANGES / f"{next_number(bundle / CHANGES):06d}"
    kept: dict[str, dict] = {}

    def fill(made: Path) -> None:
        (made / REMOVED).write_text(json.dumps(edit.removed))
        if len(edit.items):
            (made / ITEMS).write_bytes(table_bytes(edit.items, photos_root))
            with (made / VECTORS).open("wb") as file:
                np.save(file, edit.embeddings)
        kept.update(measured(made))

    make_folder(folder, fill)
    return Change(
        name=folder.name,
        created=now(),
        added=len(edit.items),
        removed=len(edit.removed),
        bytes=kept["bytes"],
        sha256=kept["sha256"],
    )


def read_change(bundle: Path, change: Change, photos_root: str) -> Edit:
    """Return a change, its files checked and its paths joined to `photos_root`."""
    folder = bundle / CHANGES / change.name
    check_change(bundle, change)
    removed = json.loads((folder / REMOVED).read_text())
    if not change.added:
        return Edit(removed, NO_ITEMS, np.empty((0, 0), dtype=np.float32))

    items = read_table(folder / ITEMS, photos_root)
    embeddings = np.load(folder / VECTORS)
    if not len(items) == len(embeddings) == change.added:
        raise BundleError(
            f"{folder}: {len(items)} items, {len(embeddings)} embeddings, {change.added} announced."
        )
    return Edit(removed, items, embeddings)


def check_change(bundle: Path, change: Change) -> None:
    """Compare a change's files with the lengths and SHA-256 in the state."""
    kept = {"bytes": change.bytes, "sha256": change.sha256}
    for name in change.sha256:
        check_file(bundle / CHANGES / change.name, name, kept)
