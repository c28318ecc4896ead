from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vsearch.bundle.generations.changes import Edit, PendingChanges, add_up, read_change
from vsearch.bundle.generations.files import ITEMS, MANIFEST, VECTORS, check_file
from vsearch.bundle.generations.manifest import (
    check_model,
    explained,
    folder_of,
    model_of,
    read_fitted,
    read_generation,
)
from vsearch.bundle.generations.state import State, read_state
from vsearch.class_paths import find
from vsearch.data.io.atomic import sha256
from vsearch.data.items import read_table
from vsearch.data.photos import Preprocessing
from vsearch.errors import BundleError
from vsearch.indexes.base import Index
from vsearch.indexes.regions import all_vectors

TINY = 1e-12
TRIES = 5  # of a reader, if writers delete what it is about to read


@dataclass(frozen=True)
class Live:
    """An open bundle: the current generation, with the changes on top of it applied in memory.

    Attributes:
        state: the state when it was opened.
        history: see `state.read_state`.
        fitted: the fit's manifest.
        manifest: that of the current generation; the fit's for generation 0.
        index: position i is row i of `items`.
        items: id, path, label, metadata.
        pending: the changes on top of the generation, added up.
    """

    bundle: Path
    state: State
    history: list[dict[str, Any]]
    fitted: dict[str, Any]
    manifest: dict[str, Any]
    index: Index
    items: pa.Table
    pending: PendingChanges

    @property
    def folder(self) -> Path:
        """The folder of the generation's files."""
        return folder_of(self.bundle, self.state.generation)

    @property
    def from_generation(self) -> int:
        """How many items, the first ones, are from the generation itself."""
        return len(self.items) - len(self.pending.items)

    @property
    def photos_root(self) -> str:
        """The folder that paths in the bundle's files are relative to; empty: the current one."""
        return str(self.fitted.get("photos_root", ""))

    @property
    def stored(self) -> bool:
        """Whether the generation keeps its vectors beside an index that keeps only codes."""
        return VECTORS in self.manifest["sha256"]

    def rows_of(self, ids: list[str]) -> np.ndarray:
        """Return the rows of the items with these ids, int (n,); -1: no such item."""
        rows = {id: row for row, id in enumerate(self.items["id"].to_pylist())}
        return np.array([rows.get(id, -1) for id in ids], dtype=np.int64)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the items' vectors, float32 (m, dim), unit length, as exactly as they are stored.

        Those of changes are exact; the others are from vectors.npy (float16) or from the index. Of
        several vectors an item, it is the whole photo's.
        """
        found = self.all_vectors(positions)
        return found if found.ndim == 2 else found[:, 0]

    def all_vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return what `vectors` does; float32 (m, per_item, dim) if items have several vectors."""
        result = np.empty((len(positions), *vector_shape(self.fitted)), dtype=np.float32)
        old = positions < self.from_generation
        if old.any():
            result[old] = self._old_vectors(positions[old])
        result[~old] = self.pending.embeddings[positions[~old] - self.from_generation]
        return result

    def _old_vectors(self, positions: np.ndarray) -> np.ndarray:
        if self.stored:
            kept = self.pending.kept(self.from_generation + len(self.pending.removed))
            stored = np.load(self.folder / VECTORS, mmap_mode="r")
            vectors = stored[kept[positions]].astype(np.float32)
        else:
            vectors = all_vectors(self.index, positions)
        shape = vector_shape(self.fitted)
        if vectors.shape[1:] != shape:
            raise BundleError(
                f"{self.folder}: an item's vectors have the shape {vectors.shape[1:]}; the "
                f"manifest's have {shape}."
            )
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / np.maximum(lengths, TINY)  # codes also lose the length


def open_live(
    bundle: Path, digest: Callable[[Path], str] = sha256, photos_root: Path | None = None
) -> Live:
    """Open the current state, after checking every file's length and SHA-256.

    Args:
        digest: returns a file's SHA-256.
        photos_root: the folder that holds the photos now; None: the one at the fit.

    Raises:
        BundleError: a file is missing, damaged or foreign; the message names it.
    """
    for _ in range(TRIES):
        state, history = read_state(bundle)
        try:
            return open_state(bundle, state, history, digest=digest, photos_root=photos_root)
        except (BundleError, FileNotFoundError):
            if read_state(bundle)[0] == state:
                raise
    raise BundleError(f"{bundle} changes too quickly to be opened.")


def open_state(
    bundle: Path,
    state: State,
    history: list[dict[str, Any]],
    *new: Edit,
    digest: Callable[[Path], str] = sha256,
    photos_root: Path | None = None,
) -> Live:
    """Open a state, current or not, with `new` unwritten changes on top."""
    folder = folder_of(bundle, state.generation)
    with explained(bundle, f"reading {MANIFEST}"):
        fitted, manifest = manifests(bundle, state)
        stored = [VECTORS] if VECTORS in manifest["sha256"] else []
        for name in (ITEMS, *manifest["index"]["files"], *stored):
            check_file(folder, name, manifest, digest)
        kind = find(manifest["index"]["class_path"], Index)
    with explained(folder, "opening the index"):
        index = kind.open(folder)
        index.bind(fitted["fingerprint"])
    with explained(bundle, "reading the items"):
        root = str(photos_root or fitted.get("photos_root", ""))
        items = read_table(folder / ITEMS, root)
        if len(index) != len(items):
            raise BundleError(
                f"{folder}: the index holds {len(index)} vectors, {ITEMS} {len(items)} items."
            )
        written = [read_change(bundle, change, root) for change in state.changes]
        shape = vector_shape(fitted)
        pending = add_up(items["id"].to_pylist(), shape, [*written, *new])
        items = pending.applied(items)
    with explained(bundle, "making the changes in the index"):
        if len(pending.removed):
            index.remove(pending.removed)
        if len(pending.items):
            index.add(pending.embeddings)
    return Live(bundle, state, history, fitted, manifest, index, items, pending)


def vector_shape(fitted: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of an item's vectors: (dim,), or with regions (per_item, dim)."""
    per_item = len(Preprocessing(**fitted["preprocessing"]).regions)
    return (fitted["dim"],) if per_item == 1 else (per_item, fitted["dim"])


def manifests(bundle: Path, state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fit's manifest and that of a state's generation, if they belong together."""
    if not state.generation:
        fitted = read_fitted(bundle, state.manifest_sha256 or None)
        return fitted, fitted
    manifest = read_generation(bundle, state.generation, state.manifest_sha256)
    ours = model_of(read_fitted(bundle))
    folder = folder_of(bundle, state.generation)
    check_model(manifest["model"], ours, f"{folder}: its vectors are")
    return read_fitted(bundle, manifest["fitted_sha256"]), manifest
