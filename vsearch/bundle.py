import hashlib
import json
import os
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save

from vsearch.backbones.base import Backbone
from vsearch.embedder import Embedder
from vsearch.heads.base import Head
from vsearch.images import Preprocessing
from vsearch.indexes.base import Index
from vsearch.searching import Bundle
from vsearch.spec import SpecError, build, class_path, describe, find

SCHEMA = 2
WEIGHTS, ITEMS, MANIFEST = "model.safetensors", "items.parquet", "manifest.json"


class BundleError(ValueError):
    """A bundle cannot be served: a part is missing, damaged, or belongs to another bundle."""


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


def write(
    folder: Path,
    embedder: Embedder,
    index: Index,
    items: pd.DataFrame,
    manifest: dict[str, Any],
    extra: dict[str, bytes],
) -> None:
    """Write a bundle so that a reader finds all of it or nothing: a temporary sibling folder, fsync, rename.

    Args:
        folder: where the bundle is to be; must not exist.
        embedder: its weights are stored, and how to build it again.
        index: of the items' embeddings, in their order.
        items: one row per vector of the index.
        manifest: what else to record beside the parts that this function fills in.
        extra: further files by name (report, pictures).

    Raises:
        BundleError: the folder exists, or items and index differ in length.
    """
    if folder.exists():
        raise BundleError(f"{folder} exists already: a bundle is never overwritten. Move it away first.")
    if len(index) != len(items):
        raise BundleError(f"the index holds {len(index)} vectors, but there are {len(items)} items")
    table = BytesIO()
    items.to_parquet(table, index=False)
    state = {name: tensor.contiguous() for name, tensor in embedder.state_dict().items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        for name, data in {WEIGHTS: save(state), ITEMS: table.getvalue(), **extra}.items():
            (made / name).write_bytes(data)
        index_files = index.save(made)
        digests = {path.name: sha256(path) for path in sorted(made.iterdir())}
        manifest = {
            "schema": SCHEMA,
            "fingerprint": fingerprint(digests[WEIGHTS], embedder.preprocessing, embedder.dim),
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
            "sha256": digests,
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=2))
        for path in made.iterdir():
            _sync(path)
        _sync(made)
        made.rename(folder)
    _sync(folder.parent)


def sha256(path: Path) -> str:
    """Return a file's SHA-256, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and check that its parts are whole and belong together.

    Raises:
        BundleError: says which part is missing, damaged or foreign.
    """
    manifest = _read_manifest(folder)
    try:
        for name in (WEIGHTS, ITEMS, *manifest["index"]["files"]):
            _check_part(folder, name, manifest)
        return _assemble(folder, manifest)
    except BundleError:
        raise
    except (SpecError, ImportError, ValueError) as error:
        raise BundleError(f"{folder}: {error}") from error
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise BundleError(f"{folder}: {MANIFEST} does not describe these files ({error!r}).") from error


def _assemble(folder: Path, manifest: dict[str, Any]) -> Bundle:
    preprocessing = Preprocessing(**manifest["preprocessing"])
    if fingerprint(manifest["sha256"][WEIGHTS], preprocessing, manifest["dim"]) != manifest["fingerprint"]:
        raise BundleError(f"{folder}: the fingerprint is not that of these weights and this preprocessing.")
    backbone = build(manifest["backbone"], Backbone)
    backbone.preprocessing = preprocessing
    embedder = Embedder(backbone, build(manifest["head"], Head) if manifest.get("head") else None)
    embedder.load_state_dict(load_file(folder / WEIGHTS))
    index = find(manifest["index"]["class_path"], Index).open(folder)
    items = pd.read_parquet(folder / ITEMS)
    if len(index) != len(items):
        raise BundleError(f"{folder}: the index holds {len(index)} vectors, {ITEMS} {len(items)} items.")
    return Bundle(embedder.eval(), index, items, manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{folder} is no bundle: it has no {MANIFEST}. A fit writes one to lightning_logs/version_N/bundle."
        )
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise BundleError(f"{path} is damaged: {error}.") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise BundleError(f"{path}: schema {schema}; this vsearch reads schema {SCHEMA}.")
    return manifest


def _check_part(folder: Path, name: str, manifest: dict[str, Any]) -> None:
    path = folder / name
    if path.name != name or not path.is_file():
        raise BundleError(f"{folder}: {name} is missing.")
    if sha256(path) != manifest["sha256"].get(name):
        raise BundleError(f"{folder}: {name} is damaged or from another bundle (its SHA-256 is not the manifest's).")


def _sync(path: Path) -> None:
    """Have the disk keep a file, or what a folder lists."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
