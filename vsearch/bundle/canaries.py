from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.samples import evenly, readable
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Precision, Runtime

FILE, COUNT = "canaries.npz", 8
MOST_BYTES = 1 << 30  # of the file in memory
# cosine from which embeddings count as equal: libraries and machines differ in the last digits
ALIKE = 0.9999
ALIKE_IN_BFLOAT16 = 0.999  # usually it differs from 1 by a few hundred-thousandths


def draw(items: pa.Table, runtime: Runtime) -> bytes | None:
    """Return a file with a few items' photos and their embeddings; None without any photo.

    `verify` embeds them again, so a library, machine or network that changes embeddings is noticed
    before users see its results.
    """
    some = items.take(pa.array(evenly(len(items), COUNT)))
    photos, kept = readable(some, runtime.preprocessing)
    if not photos:
        return None
    file = BytesIO()
    pixels = np.stack(photos)
    ids = kept["id"].to_pylist()
    np.savez(file, ids=ids, squares=pixels, embeddings=runtime.embed(pixels))
    return file.getvalue()


def check(folder: Path, runtime: Runtime, manifest: dict[str, Any]) -> str:
    """Embed a bundle's stored photos again; say how close they are to the stored embeddings.

    Raises:
        BundleError: the file is damaged, or the network's embeddings have changed.
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
            f"{folder}: the network's embeddings have changed: the photo of {worst!r} has a cosine "
            f"of {cosines[worst]:.6f} with its stored embedding; {needed} is needed."
        )
    return f"canaries: {len(cosines)} photos embedded again, lowest cosine {cosines[worst]:.6f}"


def alike_in(precision: Precision) -> float:
    """Return the cosine from which an embedding in this precision counts as that of float32."""
    return ALIKE_IN_BFLOAT16 if precision == "bfloat16" else ALIKE


def compare(folder: Path, runtime: Runtime) -> dict[str, float]:
    """Embed the canaries again; return each id's cosine with the stored embedding."""
    kept = _read(folder)
    photos = kept["squares"]
    size = runtime.preprocessing.size
    n = len(kept["ids"])
    if photos.shape != (n, 3, size, size) or kept["embeddings"].shape != (n, runtime.dim):
        raise BundleError(
            f"{folder}: {FILE} has photos {photos.shape} and embeddings "
            f"{kept['embeddings'].shape}; the network takes {size} pixels and gives {runtime.dim} "
            "values."
        )
    cosines = (runtime.embed(photos) * kept["embeddings"]).sum(axis=1)
    return dict(zip(kept["ids"].tolist(), cosines.tolist(), strict=True))


def squares(folder: Path) -> np.ndarray:
    """Return the canaries, uint8 (n, 3, size, size)."""
    return _read(folder)["squares"]


def in_index(
    folder: Path, places: dict[str, int], vectors: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the canaries' cosines with the vectors of their ids in an index."""
    kept = _read(folder)
    rows = np.array([places.get(id, -1) for id in kept["ids"].tolist()], dtype=np.int64)
    embeddings = kept["embeddings"][rows >= 0]
    found = vectors(rows[rows >= 0])
    lengths = np.linalg.norm(found, axis=1)
    return (found * embeddings).sum(axis=1) / np.where(lengths > 0, lengths, 1)


def _read(folder: Path) -> dict[str, np.ndarray]:
    path = folder / FILE
    try:
        with ZipFile(path) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > MOST_BYTES:
                raise BundleError(f"{path} would take more than {MOST_BYTES:,} bytes in memory.")
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in ("ids", "squares", "embeddings")}
    except (ValueError, KeyError, BadZipFile, EOFError) as error:
        raise BundleError(f"{path} doesn't hold photos and embeddings ({error}).") from error
