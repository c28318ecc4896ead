"""Tiny bundles for tests of generations: no network, so a process that uses them starts quickly."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vsearch.bundle.generations.edit import Edited, add, remove
from vsearch.bundle.generations.files import measured
from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.generations.manifest import SCHEMA
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.bundle.generations.writer_lock import writing
from vsearch.indexes.faiss import FaissIndex

DIM, N = 8, 40


def unit(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(start: int, n: int) -> pa.Table:
    numbers = range(start, start + n)
    return pa.table(
        {
            "id": [f"p{i}" for i in numbers],
            "path": [""] * n,
            "label": [f"l{i % 4}" for i in numbers],
        }
    )


def fitted(folder: Path, factory: str = "Flat", n: int = N, **model: object) -> Path:
    """A bundle as a fit leaves it; `model` replaces entries of the manifest, and the fingerprint
    with them.
    """
    index, vectors = FaissIndex(factory), unit(n)
    index.build(vectors)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(str(model.pop("weights", "weights")).encode() * 10)
    pq.write_table(rows(0, n), folder / "items.parquet")
    files, contents = index.save(folder), measured(folder)
    size = {
        "size": 32,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bilinear",
        "fill": [255] * 3,
    }
    parts = {"preprocessing": size, "dim": DIM, "normalisation": "l2", "metric": "cosine", **model}
    mark = hashlib.sha256(
        json.dumps([parts, contents["sha256"]["model.safetensors"]]).encode()
    ).hexdigest()
    described = {
        "class_path": "vsearch.indexes.faiss.FaissIndex",
        "spec": index.spec,
        "files": files,
    }
    manifest = {
        "schema": SCHEMA,
        "fingerprint": mark,
        **parts,
        "index": described,
        "backbone": {},
        "head": None,
        **contents,
    }
    text = json.dumps(manifest, indent=2)
    (folder / "manifest.json").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "CURRENT").write_bytes(state_bytes(State(0, digest), []))
    return folder


def put_in(bundle: Path, start: int, n: int, seed: int = 1) -> Edited:
    with writing(bundle):
        return add(open_live(bundle), rows(start, n), unit(n, seed))


def take_out(bundle: Path, *ids: str) -> Edited:
    with writing(bundle):
        return remove(open_live(bundle), ids)


def content(live: Live) -> dict[str, bytes]:
    """Each id with its vector's bytes; the index and the items are checked to go together."""
    assert len(live.index) == len(live.items)
    vectors = live.vectors(np.arange(len(live.items)))
    _, found = live.index.search(vectors, 1)
    assert (found[:, 0] == np.arange(len(vectors))).all()
    return {
        id: vector.tobytes()
        for id, vector in zip(live.items["id"].to_pylist(), vectors, strict=True)
    }
