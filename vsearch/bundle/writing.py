import json
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vsearch.bundle import canaries
from vsearch.bundle.generations.files import CURRENT, ITEMS, MANIFEST, VECTORS, measured
from vsearch.bundle.generations.manifest import SCHEMA, TEXT_WEIGHTS, TOKENIZER, WEIGHTS
from vsearch.bundle.generations.promote import described as index_described
from vsearch.bundle.generations.promote import keeps, write_vectors
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.bundle.network import fingerprint
from vsearch.data.io.atomic import scratch_folder, sha256, sync
from vsearch.data.items import as_table, common_folder, table_bytes
from vsearch.errors import BundleError
from vsearch.indexes.base import Index

if TYPE_CHECKING:
    import pandas as pd

    from vsearch.models.embedder import Embedder


def fingerprint_of(embedder: "Embedder") -> str:
    """Return the `fingerprint` of a bundle of this network."""
    from vsearch.models.stored_embedder import described

    digests = {name: sha256_of(data).hexdigest() for name, data in network_files(embedder).items()}
    text = described(embedder).get("text")
    return fingerprint(digests, embedder.preprocessing, embedder.dim, text)


def network_files(embedder: "Embedder") -> dict[str, bytes]:
    """Return a network's weights, and if it has a text tower that one's, and its tokenizer."""
    from vsearch.models.stored_embedder import weights_of

    files = {WEIGHTS: weights_of(embedder)}
    words = embedder.backbone.words
    if words is not None:
        files[TEXT_WEIGHTS] = weights_of(words.tower)
        files[TOKENIZER] = words.tokenizer.file.encode()
    return files


def write_bundle(
    folder: Path,
    embedder: "Embedder",
    index: Index,
    items: "pa.Table | pd.DataFrame",
    manifest: dict[str, Any],
    extra: dict[str, bytes],
    embeddings: np.ndarray | None = None,
    photos_root: str | None = None,
) -> None:
    """Write a bundle so that readers see all of it or nothing.

    Args:
        folder: must not exist.
        items: one row per vector of the index.
        manifest: entries to add to those that this function fills in.
        extra: further files by name (report, pictures).
        embeddings: the items', float32 (n, dim), or with regions (n, per_item, dim). If given, and
            if the index keeps only codes, they are stored as float16, so that another index can be
            built from them.
        photos_root: the folder that the items' paths are relative to, which the bundle remembers;
            None: the one that holds all their photos.
    """
    # a caller with a network has already loaded PyTorch
    from vsearch.models.runtimes.torch import TorchRuntime
    from vsearch.models.stored_embedder import described

    if folder.exists():
        raise BundleError(
            f"{folder} exists already: a bundle is never overwritten. Move it away first."
        )
    if len(index) != len(items):
        raise BundleError(f"the index holds {len(index)} vectors, but there are {len(items)} items")
    table = as_table(items)
    if photos_root is None:
        photos_root = common_folder(
            table["path"].to_pylist() if "path" in table.column_names else []
        )
    stored = table_bytes(table, photos_root)
    contents = {**network_files(embedder), ITEMS: stored, **extra}
    drawn = canaries.draw(table, TorchRuntime(embedder.eval()))
    if drawn is not None:
        contents[canaries.FILE] = drawn
    with scratch_folder(folder) as scratch:
        made = scratch / folder.name
        made.mkdir()
        for name, data in contents.items():
            (made / name).write_bytes(data)
        network = described(embedder)
        digests = measured(made)["sha256"]
        bound = fingerprint(digests, embedder.preprocessing, embedder.dim, network.get("text"))
        index.bind(bound)
        files = index.save(made)
        if embeddings is not None and not keeps(index, embeddings.__getitem__):
            write_vectors(made / VECTORS, len(index), embeddings.shape[1:], embeddings.__getitem__)
        manifest = {
            "schema": SCHEMA,
            "fingerprint": bound,
            **network,
            "normalisation": "l2",
            "metric": "cosine",
            "photos_root": photos_root,
            **manifest,
            "index": {**index_described(index, files), **manifest.get("index", {})},
            **measured(made),
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=2))
        (made / CURRENT).write_bytes(state_bytes(State(0, sha256(made / MANIFEST)), []))
        for path in [*made.iterdir(), made]:
            sync(path)
        made.rename(folder)
    sync(folder.parent)
