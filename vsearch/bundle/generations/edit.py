from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.changes import NO_ITEMS, Edit, write_change
from vsearch.bundle.generations.live import Live, open_state, vector_shape
from vsearch.bundle.generations.state import State, write_state
from vsearch.bundle.generations.table_columns import conform
from vsearch.data.items import alike_ids, repeated_ids
from vsearch.errors import BundleError

UNIT = 1e-3  # allowed deviation of a length from 1, as in indexes
SHOWN = 5


@dataclass(frozen=True)
class Edited:
    """The result of an acknowledged change, and the changed bundle."""

    live: Live
    added: int = 0
    replaced: int = 0
    removed: int = 0
    missing: int = 0


def add(live: Live, items: pa.Table, embeddings: np.ndarray, dry_run: bool = False) -> Edited:
    """Add items, or replace those whose id exists; when this returns, they are on disk.

    Needs `writer_lock.writing`.

    Args:
        items: id (text, unique), path, label, metadata.
        embeddings: their embeddings, (len(items), dim), or with regions (len(items), per_item,
            dim), unit length.
        dry_run: write nothing; check everything, and make the change in memory.

    Raises:
        BundleError: the items or embeddings don't fit, or the index refuses them.
        OSError: it could not be written; nothing has changed.
    """
    _check(live, items, embeddings)
    there = set(live.items["id"].to_pylist())
    replaced = [id for id in items["id"].to_pylist() if id in there]
    added = len(items) - len(replaced)

    embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
    edit = Edit(replaced, conform(items, live.items), embeddings)
    made = _commit(live, edit, f"add: {added:,} new, {len(replaced):,} replaced", dry_run)
    return Edited(made, added=added, replaced=len(replaced))


def remove(
    live: Live, ids: Sequence[str], ignore_missing: bool = False, dry_run: bool = False
) -> Edited:
    """Remove items by their ids; when this returns, the change is on disk, except in a `dry_run`.

    Needs `writer_lock.writing`.

    Raises:
        BundleError: an id doesn't exist, unless `ignore_missing`, or no item would be left.
    """
    there = set(live.items["id"].to_pylist())
    wanted = list(dict.fromkeys(ids))
    missing = [id for id in wanted if id not in there]
    if missing and not ignore_missing:
        raise BundleError(
            f"{len(missing)} of {len(wanted)} ids are not in the bundle: {_first(missing)}. "
            "Nothing was removed."
        )
    removed = [id for id in wanted if id in there]
    if len(removed) == len(live.items):
        raise BundleError("that would remove every item; one must stay. Nothing was removed.")
    if removed:
        none = np.empty((0, *vector_shape(live.fitted)), dtype=np.float32)
        edit = Edit(removed, NO_ITEMS, none)
        live = _commit(live, edit, f"remove: {len(removed):,} items", dry_run)
    return Edited(live, removed=len(removed), missing=len(missing))


def _commit(live: Live, edit: Edit, what: str, dry_run: bool) -> Live:
    try:  # as the next reader will; `live.index` stays unchanged
        made = open_state(live.bundle, live.state, live.history, edit)
    except BundleError as error:
        raise BundleError(f"the change can't be made: {error} Nothing was changed.") from error
    if dry_run:
        return made
    change = write_change(live.bundle, edit, live.photos_root)
    state = State(live.state.generation, live.state.manifest_sha256, (*live.state.changes, change))
    return replace(made, state=state, history=write_state(live.bundle, state, live.history, what))


def _check(live: Live, items: pa.Table, embeddings: np.ndarray) -> None:
    if not len(items):
        raise BundleError("there are no items to add.")
    needed = (len(items), *vector_shape(live.fitted))
    if embeddings.shape != needed:
        raise BundleError(f"embeddings of {needed} are needed; these are {embeddings.shape}.")
    if repeated := repeated_ids(items):
        raise BundleError(f"ids are repeated: {_first(repeated)}. Give every item a unique id.")
    if alike := alike_ids(items, live.items):
        raise BundleError(
            "ids differ from others only in white space around them or in Unicode form: "
            f"{_first(alike)}. Write each item's id in one way."
        )
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=-1).reshape(len(items), -1)
    bad = ~(np.abs(lengths - 1) < UNIT).all(axis=1)  # NaN is bad too
    if bad.any():
        raise BundleError(
            f"{bad.sum()} embeddings are not of unit length, e.g. that of "
            f"{items['id'][bad.argmax()].as_py()!r}."
        )


def _first(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(map(repr, ids[:SHOWN])) + more
