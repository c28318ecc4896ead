"""`verify` proves that a bundle's index holds what its network makes."""

import json
from io import BytesIO

import numpy as np
import pytest
from small_bundle import fitted, unit_vectors

from vsearch.bundle import canaries
from vsearch.bundle.exports.choice import choose
from vsearch.bundle.generations.files import measured
from vsearch.bundle.generations.manifest import read_fitted
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.bundle.trial_queries import belong_together
from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError
from vsearch.indexes.faiss import FaissIndex


@pytest.fixture
def bundle(tmp_path):
    return fitted(tmp_path / "bundle")


def sealed(bundle, **changes):
    """Give a bundle that was tampered with the SHA-256 that it would have as an honest one."""
    path = bundle / "manifest.json"
    manifest = {**json.loads(path.read_text()), **changes}
    (bundle / "CURRENT").unlink()
    path.unlink()
    path.write_text(json.dumps({**manifest, **measured(bundle)}))
    (bundle / "CURRENT").write_bytes(state_bytes(State(0, sha256(path)), []))


@pytest.mark.parametrize("factory", ["Flat", "SQ8", "HNSW8"])
def test_an_honest_bundle_belongs_together(tmp_path, factory):
    lines = list(belong_together(fitted(tmp_path / "honest", factory=factory)))
    assert all("8 vectors of the index match the canaries" in line for line in lines)


@pytest.mark.parametrize("rows", ["others", "swapped"])
def test_an_index_of_other_vectors_is_refused(bundle, rows):
    index = FaissIndex.open(bundle)
    vectors = index.vectors(np.arange(30))
    index = FaissIndex("Flat")
    index.build(unit_vectors(30) if rows == "others" else vectors[::-1].copy())
    index.save(bundle)
    sealed(bundle)
    with pytest.raises(BundleError, match="generation 0 is not of this network"):
        list(belong_together(bundle))


def packed(**arrays):
    file = BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "arrays",
    [
        {"squares": np.zeros((8, 3, 17, 17), np.uint8)},
        {"squares": np.zeros((8, 16, 16, 3), np.uint8)},
        {"squares": np.zeros((7, 3, 16, 16), np.uint8)},
        {"embeddings": np.zeros((8, 9), np.float32)},
        {"embeddings": np.zeros(8, np.float32)},
        {"ids": np.array([object()] * 8)},
        {"more": np.zeros(1 << 20, np.uint8)},
    ],
)
def test_canaries_that_do_not_fit_are_refused(bundle, arrays, monkeypatch):
    monkeypatch.setattr(canaries, "MOST_BYTES", 1 << 20)
    with np.load(bundle / canaries.FILE) as kept:
        honest = {name: kept[name] for name in kept}
    (bundle / canaries.FILE).write_bytes(packed(**{**honest, **arrays}))
    sealed(bundle)
    manifest = read_fitted(bundle)
    runtime = opened(bundle)
    with pytest.raises(BundleError, match=canaries.FILE):
        canaries.check(bundle, runtime, manifest)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 10**9},
        {"dim": 0},
        {"dim": "8"},
        {"dim": True},
        {"dim": 9},
        {"preprocessing": {"size": 10**6, "mean": [0.5] * 3, "std": [0.5] * 3}},
        {"preprocessing": {"size": 16, "mean": [1e999] * 3, "std": [0.5] * 3}},
        {"backbone": {"class_path": "tiny.TinyBackbone", "init_args": {"dim": 10**9}}},
        {"backbone": {"class_path": "tiny.TinyBackbone", "init_args": {"dim": "much"}}},
    ],
)
def test_sizes_out_of_bounds_take_no_memory(bundle, changes):
    sealed(bundle, **changes)
    with pytest.raises(BundleError):
        opened(bundle)


def opened(bundle):
    return choose(bundle, read_fitted(bundle), "torch", "float32").runtime


def test_many_threads_are_refused():
    with pytest.raises(ValueError, match="threads: 1000000 isn't a number"):
        FaissIndex("Flat", threads=10**6)
