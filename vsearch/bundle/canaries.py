from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa

from vsearch.data.items import boxes
from vsearch.data.photos import PhotoError, Preprocessing, read_square

# photos, uint8 (n, 3, size, size), to unit vectors, float32 (n, dim)
Embed = Callable[[np.ndarray], np.ndarray]
FILE, COUNT = "canaries.npz", 8
# cosine, from which an embedding is the same: libraries and machines differ in the last digits
ALIKE = 0.9999


def draw(items: pa.Table, preprocessing: Preprocessing, embed: Embed) -> bytes | None:
    """Return a file with a few items' photos as the network sees them, and their embeddings; None
    without any photo.

    Drawn evenly; photos that can't be read are left out. `verify` embeds them again: what a changed
    library, machine or network does to embeddings shows before users see it.

    Args:
        items: id, path, maybe a box.
        preprocessing: the network's.
        embed: photos, uint8 (n, 3, size, size), to unit vectors, float32 (n, dim).
    """
    if "path" not in items.column_names:
        return None
    rows = np.unique(np.linspace(0, len(items) - 1, min(COUNT, len(items))).astype(np.int64))
    ids, made = [], []
    drawn = items.take(pa.array(rows))
    paths = drawn["path"].to_pylist()
    for id, path, box in zip(drawn["id"].to_pylist(), paths, boxes(drawn), strict=True):
        try:
            made.append(read_square(path, preprocessing, box))
        except PhotoError:
            continue
        ids.append(id)
    if not ids:
        return None
    file, pixels = BytesIO(), np.stack(made)
    np.savez(file, ids=ids, squares=pixels, embeddings=embed(pixels))
    return file.getvalue()


def compare(folder: Path, embed: Embed) -> dict[str, float]:
    """Embed a bundle's canaries again: id -> cosine with the embedding they had when it was
    written.
    """
    with np.load(folder / FILE, allow_pickle=False) as kept:
        ids, before = kept["ids"].tolist(), kept["embeddings"]
    return dict(zip(ids, (embed(squares(folder)) * before).sum(axis=1).tolist(), strict=True))


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
