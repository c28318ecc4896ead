from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.checked_files import check_file
from vsearch.bundle.generations.manifest import explained
from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, read_square
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Precision, Runtime

FILE, COUNT = "canaries.npz", 8
# cosine, from which an embedding is the same: libraries and machines differ in the last digits
ALIKE = 0.9999
ALIKE_IN_BFLOAT16 = 0.999  # a few parts in 100,000 off are usual


def draw(items: pa.Table, runtime: Runtime) -> bytes | None:
    """Return a file with a few items' photos as the network sees them, and their embeddings; None
    without any photo.

    Drawn evenly; photos that can't be read are left out. `verify` embeds them again: what a changed
    library, machine or network does to embeddings shows before users see it.

    Args:
        items: id, path, maybe a box.
        runtime: what embeds them.
    """
    if "path" not in items.column_names:
        return None
    rows = np.unique(np.linspace(0, len(items) - 1, min(COUNT, len(items))).astype(np.int64))
    ids, made = [], []
    drawn = items.take(pa.array(rows))
    paths = drawn["path"].to_pylist()
    for id, path, box in zip(drawn["id"].to_pylist(), paths, boxes(drawn), strict=True):
        try:
            made.append(read_square(path, runtime.preprocessing, box))
        except PhotoError:
            continue
        ids.append(id)
    if not ids:
        return None
    file, pixels = BytesIO(), np.stack(made)
    np.savez(file, ids=ids, squares=pixels, embeddings=runtime.embed(pixels))
    return file.getvalue()


def check(folder: Path, runtime: Runtime, manifest: dict[str, Any]) -> str:
    """Embed a bundle's stored photos again and say how alike the embeddings are to those of then.

    Raises:
        BundleError: their file is damaged, or the network no longer embeds as it did.
    """
    if FILE not in manifest["sha256"]:
        return "canaries: the bundle has none"
    with explained(folder, "embedding the canaries again"):
        check_file(folder, FILE, manifest)
        cosines = compare(folder, runtime)
    worst = min(cosines, key=lambda id: cosines[id])
    needed = alike_in(runtime.precision)
    if not cosines[worst] >= needed:  # NaN is bad too
        raise BundleError(
            f"{folder}: the network no longer embeds as it did: the photo of {worst!r} has a "
            f"cosine of {cosines[worst]:.6f} with its embedding of then; {needed} is needed."
        )
    return f"canaries: {len(cosines)} photos embedded again, lowest cosine {cosines[worst]:.6f}"


def alike_in(precision: Precision) -> float:
    """Return the cosine from which an embedding in this precision is that of float32."""
    return ALIKE_IN_BFLOAT16 if precision == "bfloat16" else ALIKE


def compare(folder: Path, runtime: Runtime) -> dict[str, float]:
    """Embed a bundle's canaries again: id -> cosine with the embedding it had when written."""
    with np.load(folder / FILE, allow_pickle=False) as kept:
        ids = kept["ids"].tolist()
        before = kept["embeddings"]
    cosines = (runtime.embed(squares(folder)) * before).sum(axis=1)
    return dict(zip(ids, cosines.tolist(), strict=True))


def squares(folder: Path) -> np.ndarray:
    """Return a bundle's canaries, uint8 (n, 3, size, size)."""
    with np.load(folder / FILE, allow_pickle=False) as kept:
        return np.asarray(kept["squares"])


def in_index(
    folder: Path, places: dict[str, int], vectors: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return cosines (up to 8,): of the canaries' embeddings with what an index has at their ids'
    places.
    """
    with np.load(folder / FILE, allow_pickle=False) as kept:
        known = [row for row, id in enumerate(kept["ids"].tolist()) if id in places]
        embeddings, ids = kept["embeddings"][known], kept["ids"][known].tolist()
    found = vectors(np.array([places[id] for id in ids], dtype=np.int64))
    lengths = np.linalg.norm(found, axis=1)
    return (found * embeddings).sum(axis=1) / np.where(lengths > 0, lengths, 1)
