import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from safetensors.torch import save

from vsearch.bundle import canaries
from vsearch.bundle.generations.checked_files import measured
from vsearch.bundle.generations.layout import CURRENT, ITEMS, MANIFEST, VECTORS
from vsearch.bundle.generations.manifest import SCHEMA, WEIGHTS
from vsearch.bundle.generations.promote import keeps, write_vectors
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.class_paths import class_path, describe
from vsearch.data.io.atomic import sha256, sync
from vsearch.data.items import as_table, table_bytes
from vsearch.data.photos import Preprocessing
from vsearch.errors import BundleError
from vsearch.indexes.base import Index
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime

if TYPE_CHECKING:
    import pandas as pd


def fingerprint(weights_sha256: str, preprocessing: Preprocessing, dim: int) -> str:
    """Return the SHA-256 that binds a model to its index: weights, preprocessing, dim,
    normalisation and metric.
    """
    parts = {
        "weights": weights_sha256,
        "preprocessing": asdict(preprocessing),
        "dim": dim,
        "normalisation": "l2",
        "metric": "cosine",
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint_of(embedder: Embedder) -> str:
    """Return the `fingerprint` that a bundle of this network has."""
    weights = hashlib.sha256(_weights(embedder)).hexdigest()
    return fingerprint(weights, embedder.preprocessing, embedder.dim)


def write_bundle(
    folder: Path,
    embedder: Embedder,
    index: Index,
    items: "pa.Table | pd.DataFrame",
    manifest: dict[str, Any],
    extra: dict[str, bytes],
    embeddings: np.ndarray | None = None,
) -> None:
    """Write a bundle so that a reader finds all of it or nothing: a temporary sibling folder,
    fsync, rename.

    Args:
        folder: where the bundle is to be; must not exist.
        embedder: its weights are stored, and how to build it again.
        index: of the items' embeddings, in their order.
        items: one row per vector of the index.
        manifest: what else to record beside the parts that this function fills in.
        extra: further files by name (report, pictures).
        embeddings: the items', float32 (n, dim). Given, they are stored (as float16) if the index
            keeps only codes, so that another index can be built of them.

    Raises:
        BundleError: the folder exists, or items and index differ in length.
    """
    if folder.exists():
        raise BundleError(
            f"{folder} exists already: a bundle is never overwritten. Move it away first."
        )
    if len(index) != len(items):
        raise BundleError(f"the index holds {len(index)} vectors, but there are {len(items)} items")
    files = {**_parts(embedder, as_table(items)), **extra}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        for name, data in files.items():
            (made / name).write_bytes(data)
        bound = fingerprint(sha256(made / WEIGHTS), embedder.preprocessing, embedder.dim)
        index.bind(bound)
        index_files = index.save(made)
        if embeddings is not None and not keeps(index, embeddings.__getitem__):
            write_vectors(made / VECTORS, len(index), embedder.dim, embeddings.__getitem__)
        contents = measured(made)
        manifest = {
            "schema": SCHEMA,
            "fingerprint": bound,
            "backbone": {**embedder.backbone.spec(), "origin": embedder.backbone.origin},
            "head": None if embedder.head is None else describe(embedder.head),
            "preprocessing": asdict(embedder.preprocessing),
            "dim": embedder.dim,
            "normalisation": "l2",
            "metric": "cosine",
            **manifest,
            "index": {
                "class_path": class_path(type(index)),
                "spec": index.spec,
                "files": index_files,
                **manifest.get("index", {}),
            },
            **contents,
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=2))
        (made / CURRENT).write_bytes(state_bytes(State(0, sha256(made / MANIFEST)), []))
        for path in [*made.iterdir(), made]:
            sync(path)
        made.rename(folder)
    sync(folder.parent)


def _parts(embedder: Embedder, items: pa.Table) -> dict[str, bytes]:
    """Return the files of a bundle that are neither the index nor made of the others."""
    drawn = canaries.draw(items, embedder.preprocessing, TorchRuntime(embedder.eval()).embed)
    return {
        WEIGHTS: _weights(embedder),
        ITEMS: table_bytes(items),
        **({canaries.FILE: drawn} if drawn else {}),
    }


def _weights(embedder: Embedder) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in embedder.state_dict().items()})
