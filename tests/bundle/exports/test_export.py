import json
import re
import shutil
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from adversarial.damage import middle
from PIL import Image
from refusals import refusal
from small_service import served_bundle
from test_torch import photos
from tiny import AveragingBackbone

from vsearch.bundle.exports import choice
from vsearch.bundle.exports.choice import choose
from vsearch.bundle.exports.manifest import LINEAGE
from vsearch.bundle.exports.proof import BATCH
from vsearch.bundle.generations.manifest import read_fitted
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.errors import BundleError
from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.runtimes.base import METADATA, ExplainError
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.onnx_export import to_onnx, to_openvino
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.optional_packages import require

RUNTIMES = {"onnx": OnnxRuntime, "openvino": OpenvinoRuntime}
pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle with an export in each format."""
    folder = served_bundle(tmp_path_factory.mktemp("exported") / "bundle")
    for name in RUNTIMES:
        main(["export", str(folder), "--format", name])
    return folder


@pytest.fixture(params=[*RUNTIMES])
def name(request):
    return request.param


@pytest.fixture
def copied(tmp_path, bundle):
    """A copy, to be changed."""
    shutil.copytree(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def chosen(folder, name, precision="auto"):
    return choose(folder, read_fitted(folder), name, precision)


@pytest.mark.parametrize("n", [1, 2, 7, BATCH + 1])
def test_it_embeds_batches_of_any_size_as_pytorch_does(bundle, name, n):
    found = RUNTIMES[name](bundle / "exports" / name).embed(photos(n))
    assert (found.dtype, found.shape) == (np.float32, (n, 8))
    assert np.allclose(found, open_bundle(bundle, "torch").runtime.embed(photos(n)), atol=1e-5)


@pytest.mark.parametrize("head", [None, LinearHead(5)], ids=["no head", "linear head"])
def test_its_positions_are_pytorchs(tmp_path, name, head):
    torch.manual_seed(0)
    embedder = Embedder(AveragingBackbone(), head).eval()
    file = to_onnx(embedder, tmp_path, {METADATA: asdict(embedder.preprocessing)})
    if name == "openvino":
        to_openvino(file, tmp_path, {METADATA: asdict(embedder.preprocessing)})
    runtime = RUNTIMES[name](tmp_path)
    pytorch = TorchRuntime(embedder)
    for n in (1, 3):
        found = runtime.embed_positions(photos(n))
        assert found.shape == (n, embedder.dim, 8, 8)
        assert np.allclose(found, pytorch.embed_positions(photos(n)), atol=1e-5)
        assert np.allclose(runtime.embed(photos(n)), pytorch.embed(photos(n)), atol=1e-5)


def test_a_network_without_positions_exports_none(bundle, name):
    with pytest.raises(ExplainError, match="this network's scores don't split"):
        RUNTIMES[name](bundle / "exports" / name).embed_positions(photos(1))


def test_the_answer_of_one_batch_is_not_overwritten_by_the_next(bundle, name):
    runtime = RUNTIMES[name](bundle / "exports" / name)
    first = runtime.embed(photos(4))
    kept = first.copy()
    runtime.embed(255 - photos(4))
    assert np.array_equal(first, kept)


def test_its_lineage_says_what_it_is(bundle, name):
    lineage = json.loads((bundle / "exports" / name / LINEAGE).read_text())
    assert (lineage["format"], lineage["precision"]) == (name, "float32")
    assert lineage["model"]["fingerprint"] == open_bundle(bundle).manifest["fingerprint"]
    assert lineage["proof"]["photos"] == 30 + 8
    assert lineage["proof"]["lowest_cosine"] > 0.9999
    assert (
        lineage["proof"]["precision_at_1"]["torch"] == lineage["proof"]["precision_at_1"]["export"]
    )
    assert set(lineage["sha256"]) == {
        path.name for path in (bundle / "exports" / name).iterdir()
    } - {LINEAGE}


def test_the_files_keep_the_preprocessing(bundle):
    import onnx
    import openvino

    wanted = {
        "size": 16,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bilinear",
        "fill": [255] * 3,
    }
    metadata = {
        one.key: one.value for one in onnx.load(bundle / "exports/onnx/model.onnx").metadata_props
    }
    read = (
        openvino.Core()
        .read_model(bundle / "exports/openvino/model.xml")
        .get_rt_info(["vsearch", "preprocessing"])
    )
    assert json.loads(metadata["preprocessing"]) == json.loads(read.astype(str)) == wanted


def test_the_bundle_is_as_whole_as_before(bundle, capsys):
    main(["index", "verify", str(bundle)])
    assert "All is well." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--min-cosine", "1.1"], "lowest_cosine [01].[0-9]+, 1.1 is needed"),
        (["--min-overlap", "1.1"], "top10_overlap 1.000000, 1.1 is needed"),
        (["--photos", "nowhere.jpg"], "nowhere.jpg: no such file"),
    ],
)
def test_what_is_not_shown_leaves_nothing(tmp_path, bundle, flags, why, capsys):
    words = [bundle, "--format", "onnx", "--out", tmp_path / "made", *flags]
    status = 1 if flags[0].startswith("--min") else 2
    assert re.search(why, refusal(capsys, "export", *words, status=status))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_network_that_is_exported_wrongly_is_found_out(tmp_path, bundle, monkeypatch, capsys):
    from vsearch.models.runtimes import onnx_export

    monkeypatch.setattr(
        onnx_export, "normalise", lambda squares, preprocessing: squares.float() / 255
    )  # without mean, std
    words = [bundle, "--format", "onnx", "--out", tmp_path / "made"]
    said = refusal(capsys, "export", *words, status=1)
    assert "embeddings differ from PyTorch's: lowest_cosine" in said
    assert not [*tmp_path.iterdir()]


def test_an_export_is_never_overwritten(bundle, name, capsys):
    assert "exists already" in refusal(capsys, "export", bundle, "--format", name)


def test_given_photos_and_another_folder(tmp_path, bundle, capsys):
    some = [str(path) for path in sorted((bundle.parent / "photos").iterdir())[:3]]
    left = tmp_path / ".making-made"
    left.mkdir()  # of one that was killed
    main(
        [
            "export",
            str(bundle),
            "--format",
            "onnx",
            "--out",
            str(tmp_path / "made"),
            "--photos",
            *some,
        ]
    )
    assert "3 given photos and the bundle's 8 stored ones" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_named_runtime_is_taken(bundle, name, monkeypatch):
    monkeypatch.setattr(choice, "cpu_has_bfloat16", lambda: False)
    found = chosen(bundle, name)
    assert found.runtime.says == f"{name} float32"
    assert found.why.startswith("float32: 1.0000") or found.why.startswith("float32: 0.99999")


def test_auto_takes_the_quickest(bundle, monkeypatch):
    monkeypatch.setattr(choice, "cpu_has_bfloat16", lambda: False)
    slow = {"onnx": 0.02, "openvino": 0.0}
    for name, kind in RUNTIMES.items():

        def embed(self, squares, own=kind.embed, pause=slow[name]):
            time.sleep(pause)
            return own(self, squares)

        monkeypatch.setattr(kind, "embed", embed)
    found = chosen(bundle, "auto")
    assert found.runtime.name == "openvino"
    assert "for 8 photos: onnx 2" in found.why


def test_an_export_of_another_model_is_refused_with_both_fingerprints(copied, name, tmp_path):
    other = served_bundle(tmp_path / "other" / "bundle", seed=1)
    (other / "exports").mkdir()
    (copied / "exports" / name).rename(other / "exports" / name)
    both = [read_fitted(folder)["fingerprint"] for folder in (copied, other)]
    for runtime in (name, "auto"):
        with pytest.raises(
            BundleError,
            match=f"of another model: fingerprint {both[0]}, this bundle's is {both[1]}",
        ):
            chosen(other, runtime)


def test_a_damaged_export_is_refused(copied, name):
    path = max((copied / "exports" / name).iterdir(), key=lambda file: file.stat().st_size)
    path.write_bytes(middle(path.read_bytes()))
    for runtime in (name, "auto"):
        with pytest.raises(BundleError, match=f"{path.name} is damaged"):
            chosen(copied, runtime)


def test_without_an_export_a_named_runtime_is_refused_and_auto_stays(tmp_path, name):
    folder = served_bundle(tmp_path / "bundle")
    with pytest.raises(BundleError, match="Make one: python -m vsearch export"):
        chosen(folder, name)
    assert chosen(folder, "auto").runtime.name == "torch"


def test_without_openvino_a_named_runtime_is_refused_and_auto_does_without(bundle, monkeypatch):
    from vsearch.models.runtimes import openvino

    monkeypatch.setattr(
        openvino, "require", lambda package, extra: require(f"{package}_that_is_not_there", extra)
    )
    with pytest.raises(BundleError, match="uv sync --extra openvino"):
        chosen(bundle, "openvino")
    assert "`uv sync --extra openvino` installs it" in chosen(bundle, "auto").why


def test_items_are_added_by_the_runtime_that_is_asked_for(copied, name, tmp_path, capsys):
    for number, square in enumerate(photos(3)):
        (tmp_path / "new" / "label").mkdir(parents=True, exist_ok=True)
        Image.fromarray(square.transpose(1, 2, 0)).save(
            tmp_path / "new" / "label" / f"{number}.png"
        )
    capsys.readouterr()
    main(["index", "add", str(copied), "--folder", str(tmp_path / "new"), "--runtime", name])
    assert f"Embedded with {name}, float32" in capsys.readouterr().out
    added = open_bundle(copied).items.to_pandas()["path"].str.contains("new").sum()
    assert added == 3
