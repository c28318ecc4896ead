import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from adversarial.damage import middle
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import TinyBackbone

from vsearch.bundle.network import fingerprint
from vsearch.bundle.opening import open_bundle
from vsearch.bundle.writing import write_bundle
from vsearch.data.photos import Preprocessing
from vsearch.errors import BundleError
from vsearch.indexes.faiss import FaissIndex
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.search.searcher import Searcher

PARTS = ("model.safetensors", "index.faiss", "index.json", "items.parquet")
EXTRA = ("report.md", "canaries.npz")


def photos(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(6):
        paths.append(folder / f"{number}.png")
        pixels = np.random.default_rng(number).integers(0, 255, (20, 14, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    return paths


def write(folder: Path, seed: int = 0, **metadata: list) -> tuple[Embedder, list[Path]]:
    torch.manual_seed(seed)
    embedder, paths = Embedder(TinyBackbone()).eval(), photos(folder.parent / "photos")
    items = pd.DataFrame(
        {"id": [p.stem for p in paths], "path": [str(p) for p in paths], "label": list("aabbcc")}
    )
    items = items.assign(**metadata)
    held = Searcher(TorchRuntime(embedder), FaissIndex(), items, {})
    held.index.build(held.embed(paths))
    write_bundle(folder, embedder, held.index, items, {"note": "hello"}, {"report.md": b"# hi"})
    return embedder, paths


@pytest.fixture
def made(tmp_path) -> Path:
    write(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_what_is_written_opens_and_every_photo_finds_itself(tmp_path):
    embedder, paths = write(tmp_path / "bundle")
    opened = open_bundle(tmp_path / "bundle")
    for name, value in opened.runtime.network.state_dict().items():
        assert torch.equal(value, embedder.state_dict()[name])
    assert not opened.runtime.network.training
    for path, hits in zip(paths, opened.search(paths, 3), strict=True):
        assert hits["id"][0].as_py() == path.stem
        assert hits["score"][0].as_py() == pytest.approx(1, abs=1e-5)
        assert hits["rank"].to_pylist() == [1, 2, 3]
        assert hits["score"].to_pandas().is_monotonic_decreasing


def test_bytes_and_paths_give_the_same_embedding(made):
    opened = open_bundle(made)
    path = made.parent / "photos" / "3.png"
    assert np.array_equal(opened.embed([path]), opened.embed([path.read_bytes()]))


def test_the_folder_holds_what_the_manifest_says(made):
    manifest = json.loads((made / "manifest.json").read_text())
    assert {path.name for path in made.iterdir()} == {"manifest.json", "CURRENT", *EXTRA, *PARTS}
    assert set(manifest["sha256"]) == {*EXTRA, *PARTS}
    assert manifest["note"] == "hello"
    assert manifest["backbone"]["class_path"] == "tiny.TinyBackbone"
    assert (manifest["dim"], manifest["metric"], manifest["index"]["spec"]) == (8, "cosine", "Flat")
    assert sorted(path.name for path in made.parent.iterdir()) == ["bundle", "photos"]


@pytest.mark.parametrize("name", PARTS)
def test_missing_damaged_and_foreign_parts_are_refused_by_name(made, name):
    write(made.parent / "other", seed=1)
    part = made / name
    whole = part.read_bytes()
    alike = name in ("items.parquet", "index.json")
    foreign = whole[:-1] if alike else (made.parent / "other" / name).read_bytes()
    for data in (middle(whole), whole[: len(whole) // 2], foreign):
        part.write_bytes(data)
        with pytest.raises(BundleError, match=rf"{name} is damaged or from another bundle"):
            open_bundle(made)
    part.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        open_bundle(made)


def test_another_models_weights_are_refused_even_with_their_hash(made):
    import hashlib

    weights = load_file(made / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, made / "model.safetensors")
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "CURRENT").unlink()  # which has the manifest's SHA-256
    manifest["sha256"]["model.safetensors"] = hashlib.sha256(
        (made / "model.safetensors").read_bytes()
    ).hexdigest()
    (made / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="fingerprint doesn't fit these weights"):
        open_bundle(made)


def change(made: Path, **values) -> None:
    (made / "CURRENT").unlink()  # which has the manifest's SHA-256
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**manifest, **values}))


def test_changed_preprocessing_is_refused(made):
    size = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    change(made, preprocessing=size)
    with pytest.raises(BundleError, match="fingerprint"):
        open_bundle(made)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema": 99}, "schema 99"),
        (
            {"backbone": {"class_path": "my_plugins.Gone", "init_args": {}}},
            "my_plugins.Gone can't be imported",
        ),
        (
            {"backbone": {"class_path": "pathlib.Path", "init_args": {}}},
            "pathlib.Path is not a subclass of Backbone",
        ),
    ],
)
def test_manifests_that_cannot_be_served(made, values, message):
    change(made, **values)
    with pytest.raises(BundleError, match=message):
        open_bundle(made)


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(
        BundleError, match=r"isn't a bundle: it has no manifest.json. A fit writes one"
    ):
        open_bundle(tmp_path)


def test_a_bundle_is_never_overwritten(made):
    with pytest.raises(BundleError, match="exists already"):
        write(made)


def test_items_and_index_must_be_of_one_size(tmp_path):
    index = FaissIndex()
    index.build(np.eye(8, dtype=np.float32))
    with pytest.raises(BundleError, match="holds 8 vectors, but there are 2 items"):
        write_bundle(
            tmp_path / "b", TinyBackbone(), index, pd.DataFrame({"id": ["a", "b"]}), {}, {}
        )
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_no_bundle(tmp_path, monkeypatch):
    def fail(*args) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    monkeypatch.undo()
    write(tmp_path / "bundle")
    assert open_bundle(tmp_path / "bundle")


def test_a_moved_bundle_opens(made):
    shutil.move(made, made.parent / "elsewhere")
    assert open_bundle(made.parent / "elsewhere").manifest["note"] == "hello"


def test_the_fingerprint_binds_weights_preprocessing_and_dim():
    base = ({"model.safetensors": "ab"}, Preprocessing(16, (0.5,) * 3, (0.5,) * 3), 8)
    others = [
        ({"model.safetensors": "ac"}, *base[1:]),
        (base[0], Preprocessing(17, (0.5,) * 3, (0.5,) * 3), 8),
        (*base[:2], 9),
    ]
    # bundles of earlier versions keep theirs
    assert fingerprint(*base).startswith("9a68d7153427ebd4")
    assert len({fingerprint(*parts) for parts in [base, *others]}) == 4


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"schema": 1}', "null"])
def test_a_manifest_without_its_entries_is_refused(made, manifest):
    (made / "CURRENT").unlink()
    (made / "manifest.json").write_text(manifest)
    with pytest.raises(BundleError):
        open_bundle(made)


def test_a_manifest_of_another_architecture_is_refused(made):
    entry = json.loads((made / "manifest.json").read_text())["backbone"]
    change(made, backbone={**entry, "init_args": {**entry["init_args"], "dim": 9}})
    with pytest.raises(BundleError, match=r"opening the network failed .RuntimeError"):
        open_bundle(made)
