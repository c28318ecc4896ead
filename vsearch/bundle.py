import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save

from vsearch import canaries
from vsearch.backbones.base import Backbone
from vsearch.backbones.restored import restored
from vsearch.embedder import Embedder
from vsearch.engines.torch import TorchEngine
from vsearch.generations.base import CURRENT, ITEMS, MANIFEST, VECTORS, BundleError
from vsearch.generations.files import check_file, measured, sha256, sync, table_bytes
from vsearch.generations.live import open_live
from vsearch.generations.manifest import SCHEMA, WEIGHTS, explained
from vsearch.generations.promote import keeps, write_vectors
from vsearch.generations.state import State, state_bytes
from vsearch.heads.base import Head
from vsearch.images import Preprocessing
from vsearch.indexes.base import Index
from vsearch.searching import Bundle
from vsearch.spec import build, class_path, describe


def fingerprint(weights_sha256: str, preprocessing: Preprocessing, dim: int) -> str:
    """Return the SHA-256 that binds a model to its index: weights, preprocessing, dim, normalisation and metric."""
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


def write(
    folder: Path,
    embedder: Embedder,
    index: Index,
    items: pd.DataFrame,
    manifest: dict[str, Any],
    extra: dict[str, bytes],
    embeddings: np.ndarray | None = None,
) -> None:
    """Write a bundle so that a reader finds all of it or nothing: a temporary sibling folder, fsync, rename.

    Args:
        folder: where the bundle is to be; must not exist.
        embedder: its weights are stored, and how to build it again.
        index: of the items' embeddings, in their order.
        items: one row per vector of the index.
        manifest: what else to record beside the parts that this function fills in.
        extra: further files by name (report, pictures).
        embeddings: the items', float32 (n, dim). Given, they are stored (as float16) if the index keeps only codes, so
            that another index can be built of them.

    Raises:
        BundleError: the folder exists, or items and index differ in length.
    """
    if folder.exists():
        raise BundleError(f"{folder} exists already: a bundle is never overwritten. Move it away first.")
    if len(index) != len(items):
        raise BundleError(f"the index holds {len(index)} vectors, but there are {len(items)} items")
    files = {**_parts(embedder, items), **extra}
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


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle as it stands: the generation in force, with the changes on top of it made.

    Every part's length and SHA-256 is checked before anything reads it, and that they belong together. The bundle keeps
    what it has opened, whatever is written later.

    Raises:
        BundleError: says which part is missing, damaged or foreign.
    """
    live = open_live(folder)
    with explained(folder, "opening the network"):
        check_file(folder, WEIGHTS, live.fitted)
        manifest = {**live.fitted, "index": live.manifest["index"], "generation": live.state.generation}
        return Bundle(open_embedder(folder, live.fitted), live.index, live.items, manifest)


def open_embedder(folder: Path, manifest: dict[str, Any]) -> Embedder:
    """Return the network of a bundle whose weights have been checked, in eval mode, on the CPU.

    Raises:
        BundleError: the manifest's fingerprint is of other weights or another preprocessing.
    """
    preprocessing = Preprocessing(**manifest["preprocessing"])
    if fingerprint(manifest["sha256"][WEIGHTS], preprocessing, manifest["dim"]) != manifest["fingerprint"]:
        raise BundleError(f"{folder}: the fingerprint is not that of these weights and this preprocessing.")
    headless = not manifest.get("head")
    with restored(manifest["dim"] if headless else None):
        backbone = build(manifest["backbone"], Backbone)
        backbone.preprocessing = preprocessing
        embedder = Embedder(backbone, None if headless else build(manifest["head"], Head))
    embedder.load_state_dict(load_file(folder / WEIGHTS))
    return embedder.eval()


def check_canaries(folder: Path, embedder: Embedder, manifest: dict[str, Any]) -> str:
    """Embed a bundle's stored photos again and say how alike the embeddings are to those of then.

    Raises:
        BundleError: their file is damaged, or the network no longer embeds as it did.
    """
    if canaries.FILE not in manifest["sha256"]:
        return "canaries: the bundle has none"
    with explained(folder, "embedding the canaries again"):
        check_file(folder, canaries.FILE, manifest)
        cosines = canaries.compare(folder, TorchEngine(embedder).embed)
    worst = min(cosines, key=lambda id: cosines[id])
    if not cosines[worst] >= canaries.ALIKE:  # NaN is bad too
        raise BundleError(
            f"{folder}: the network no longer embeds as it did: the photo of {worst!r} has a cosine of "
            f"{cosines[worst]:.6f} with its embedding of then; {canaries.ALIKE} is needed."
        )
    return f"canaries: {len(cosines)} photos embedded again, lowest cosine {cosines[worst]:.6f}"


def _parts(embedder: Embedder, items: pd.DataFrame) -> dict[str, bytes]:
    """Return the files of a bundle that are neither the index nor made of the others."""
    drawn = canaries.draw(items, embedder.preprocessing, TorchEngine(embedder.eval()).embed)
    return {
        WEIGHTS: _weights(embedder),
        ITEMS: table_bytes(items),
        **({canaries.FILE: drawn} if drawn else {}),
    }


def _weights(embedder: Embedder) -> bytes:
    return save({name: tensor.contiguous() for name, tensor in embedder.state_dict().items()})
