import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vsearch.bundle.generations.checked_files import measured
from vsearch.bundle.generations.layout import (
    CHANGES,
    GENERATIONS,
    ITEMS,
    MANIFEST,
    PREVIOUS,
    VECTORS,
)
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import GENERATION_SCHEMA, folder_of, model_of
from vsearch.bundle.generations.state import State, now, state_bytes, write_state
from vsearch.class_paths import class_path
from vsearch.data.io.atomic import MAKING, make_folder, next_number, sha256
from vsearch.data.items import table_bytes
from vsearch.indexes.base import Index

Vectors = Callable[[np.ndarray], np.ndarray]
SAMPLE, EXACT, BLOCK = 256, 1e-6, 1 << 16


def promote(
    live: Live,
    index: Index,
    vectors: Vectors,
    reason: str,
    drift: dict[str, int],
    extra: dict[str, Any] | None = None,
) -> State:
    """Write a new generation of the live items and put it in force; older ones but the one before
    and 0 are deleted.

    Args:
        live: what is in force now.
        index: of the live items' vectors, in their order.
        vectors: int (m,) positions -> float32 (m, dim). Kept in vectors.npy if the index can't give
            them back.
        reason: what made it: `fold`, `optimize`, `build` or `swap`.
        drift: `built`: vectors when the index was built; rows `added` and `removed` since.
        extra: further entries of its manifest.

    Raises:
        OSError: it could not be written; what was in force still is.
    """
    number = next_number(live.bundle / GENERATIONS)
    folder = folder_of(live.bundle, number)
    make_folder(
        folder,
        lambda made: _fill(
            made, live, index, vectors, number, _entries(live, reason, drift, extra)
        ),
    )
    state = State(number, sha256(folder / MANIFEST))
    write_state(
        live.bundle, state, live.history, f"{reason}: {len(live.items):,} items, {index.spec}"
    )
    prune(live.bundle, [state, live.state])
    return state


def prune(bundle: Path, kept: list[State]) -> None:
    """Delete generations and changes that none of the states needs. Generation 0, as fitted, always
    stays.
    """
    _prune(bundle / GENERATIONS, {f"{state.generation:06d}" for state in kept})
    _prune(bundle / CHANGES, {change.name for state in kept for change in state.changes})


def keeps(index: Index, vectors: Vectors) -> bool:
    """Tell whether an index gives its vectors back as they are, from a sample of both ends and
    between.
    """
    positions = np.unique(np.linspace(0, len(index) - 1, min(SAMPLE, len(index))).astype(np.int64))
    try:
        return np.allclose(index.vectors(positions), vectors(positions), rtol=0, atol=EXACT)
    except ValueError:
        return False


def write_vectors(path: Path, n: int, dim: int, vectors: Vectors) -> None:
    """Write `n` vectors as float16 (n, dim), block by block, so that they can be read without all
    being in memory.
    """
    header = {"descr": "<f2", "fortran_order": False, "shape": (n, dim)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, n, BLOCK):
            file.write(vectors(np.arange(start, min(start + BLOCK, n))).astype("<f2").tobytes())


def _entries(
    live: Live, reason: str, drift: dict[str, int], extra: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "created": now(),
        "reason": reason,
        "model": model_of(live.fitted),
        "fitted_sha256": sha256(live.bundle / MANIFEST),
        "drift": drift,
        **(extra or {}),
    }


def _fill(
    made: Path, live: Live, index: Index, vectors: Vectors, number: int, entries: dict[str, Any]
) -> None:
    files = index.save(made)
    (made / ITEMS).write_bytes(table_bytes(live.items))
    (made / PREVIOUS).write_bytes(state_bytes(live.state, live.history))
    if not keeps(index, vectors):
        write_vectors(made / VECTORS, len(index), live.fitted["dim"], vectors)
    described = {"class_path": class_path(type(index)), "spec": index.spec, "files": files}
    manifest = {
        "schema": GENERATION_SCHEMA,
        "generation": number,
        **entries,
        "index": described,
        "items": len(live.items),
    }
    (made / MANIFEST).write_text(json.dumps({**manifest, **measured(made)}, indent=2))


def _prune(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("*"):
        if path.name.isdecimal() and path.name not in kept:
            gone = path.with_name(
                MAKING + path.name
            )  # half a deleted folder must not look like a whole one
            path.rename(gone)
            shutil.rmtree(gone)
