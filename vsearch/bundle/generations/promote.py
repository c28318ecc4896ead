import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsearch.bundle.generations.files import (
    CHANGES,
    GENERATIONS,
    ITEMS,
    MANIFEST,
    PREVIOUS,
    VECTORS,
    measured,
)
from vsearch.bundle.generations.live import Live, vector_shape
from vsearch.bundle.generations.manifest import GENERATION_SCHEMA, folder_of, model_of
from vsearch.bundle.generations.state import State, now, state_bytes, write_state
from vsearch.bundle.samples import evenly
from vsearch.class_paths import class_path
from vsearch.data.io.atomic import MAKING, make_folder, next_number, sha256
from vsearch.data.items import table_bytes
from vsearch.indexes.base import Index
from vsearch.indexes.regions import all_vectors

# int (m,) positions -> float32 (m, dim), or with regions (m, per_item, dim)
Vectors = Callable[[np.ndarray], np.ndarray]
SAMPLE = 256
EXACT = 1e-6
BLOCK = 1 << 16


@dataclass(frozen=True)
class Drift:
    """How far an index has moved from the vectors that it was built on.

    Attributes:
        built: the number of those vectors.
        added: rows added since then.
        removed: rows removed since then; a replaced item counts in both.
    """

    built: int
    added: int = 0
    removed: int = 0

    @property
    def share(self) -> float:
        """Rows added or removed per vector that it was built on."""
        return (self.added + self.removed) / max(1, self.built)


def promote(
    live: Live,
    index: Index,
    vectors: Vectors,
    reason: str,
    drift: Drift | None = None,
    extra: dict[str, Any] | None = None,
) -> State:
    """Write a new generation of the live items and make it the current one.

    Older ones are deleted, except the previous one and 0. Needs `writer_lock.writing`.

    Args:
        index: holds the live items' vectors, in their order.
        vectors: those vectors. Kept in vectors.npy if the index can't give them back.
        reason: what made it: `fold`, `optimize`, `build`, `swap`, `copy` or `shards`.
        drift: of the index; None: it has just been built.
        extra: further entries of the generation's manifest.

    Raises:
        OSError: it could not be written; the previous generation stays current.
    """
    number = next_number(live.bundle / GENERATIONS)
    folder = folder_of(live.bundle, number)
    entries = {
        "schema": GENERATION_SCHEMA,
        "generation": number,
        "created": now(),
        "reason": reason,
        "model": model_of(live.fitted),
        "fitted_sha256": sha256(live.bundle / MANIFEST),
        "drift": asdict(drift or Drift(len(index))),
        **(extra or {}),
        "items": len(live.items),
    }
    make_folder(folder, lambda made: _fill(made, live, index, vectors, entries))
    state = State(number, sha256(folder / MANIFEST))
    what = f"{reason}: {len(live.items):,} items, {index.spec}"
    write_state(live.bundle, state, live.history, what)
    _prune(live.bundle / GENERATIONS, {folder.name, f"{live.state.generation:06d}"})
    _prune(live.bundle / CHANGES, {change.name for change in live.state.changes})
    return state


def keeps(index: Index, vectors: Vectors) -> bool:
    """Check on an even sample whether an index gives its vectors back unchanged."""
    positions = evenly(len(index), SAMPLE)
    try:
        kept = all_vectors(index, positions)
        return np.allclose(kept, vectors(positions), rtol=0, atol=EXACT)
    except ValueError:
        return False


def write_vectors(path: Path, n: int, shape: tuple[int, ...], vectors: Vectors) -> None:
    """Write n items' vectors, each of this shape, as float16; one block at a time is in memory."""
    header = {"descr": "<f2", "fortran_order": False, "shape": (n, *shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, n, BLOCK):
            file.write(vectors(np.arange(start, min(start + BLOCK, n))).astype("<f2").tobytes())


def _fill(made: Path, live: Live, index: Index, vectors: Vectors, entries: dict[str, Any]) -> None:
    files = index.save(made)
    (made / ITEMS).write_bytes(table_bytes(live.items, live.photos_root))
    (made / PREVIOUS).write_bytes(state_bytes(live.state, live.history))
    if not keeps(index, vectors):
        write_vectors(made / VECTORS, len(index), vector_shape(live.fitted), vectors)
    manifest = {**entries, "index": described(index, files), **measured(made)}
    (made / MANIFEST).write_text(json.dumps(manifest, indent=2))


def described(index: Index, files: list[str]) -> dict[str, Any]:
    """Return the manifest's entries for an index and its files."""
    return {"class_path": class_path(type(index)), "spec": index.spec, "files": files}


def _prune(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("*"):
        if path.name.isdecimal() and path.name not in kept:
            # a half-deleted folder must not look complete
            gone = path.with_name(MAKING + path.name)
            path.rename(gone)
            shutil.rmtree(gone)
