"""A bundle whose photos are embedded in several views, opened by every runtime."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from refusals import refusal
from small_bundle import fitted, photo
from test_torch import photos

from vsearch.bundle.exports.choice import choose
from vsearch.bundle.generations.manifest import WEIGHTS, read_fitted
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.data.embedding_parts import open_parts
from vsearch.data.photos import read_square
from vsearch.data.views import Flip
from vsearch.models.runtimes.base import ExplainError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = fitted(tmp_path_factory.mktemp("views") / "bundle", views=(Flip(),))
    main(["export", str(folder), "--format", "onnx"])
    return folder


@pytest.fixture
def plain(tmp_path) -> Path:
    """The same weights without views."""
    return fitted(tmp_path / "plain")


def new_photos(folder: Path) -> list[Path]:
    """Two photos, of a label each."""
    return [photo(folder / f"l{number}", number + 50) for number in range(2)]


def mean(bundle: Path, squares: np.ndarray) -> np.ndarray:
    """Each photo's embedding, by a loop, by PyTorch."""
    runtime = open_bundle(bundle, "torch").runtime
    found = []
    for square in squares:
        mirrored = np.ascontiguousarray(square[:, :, ::-1])
        total = sum(runtime.embed_squares(one[None])[0] for one in (square, mirrored))
        found.append(total / np.linalg.norm(total))
    return np.array(found)


@pytest.mark.parametrize("name", ["torch", "onnx", "openvino"])
def test_every_runtime_embeds_the_mean_of_the_views(bundle, name):
    if name == "openvino":
        pytest.importorskip("openvino")
        if not (bundle / "exports" / name).exists():
            main(["export", str(bundle), "--format", name])
    runtime = choose(bundle, read_fitted(bundle), name, "float32").runtime
    squares = photos(5)
    assert np.allclose(runtime.embed(squares), mean(bundle, squares), atol=1e-5)
    with pytest.raises(ExplainError):
        runtime.embed_positions(squares)

    runtime.use_one_view()
    assert np.array_equal(runtime.embed(squares), runtime.embed_squares(squares))
    assert not np.allclose(runtime.embed(squares), mean(bundle, squares), atol=1e-3)


def test_views_are_part_of_the_fingerprint_and_older_fingerprints_stay(bundle, plain):
    ours = read_fitted(bundle)
    theirs = read_fitted(plain)
    assert ours["sha256"][WEIGHTS] == theirs["sha256"][WEIGHTS]
    assert ours["fingerprint"] != theirs["fingerprint"]
    assert [view["class_path"] for view in ours["preprocessing"]["views"]] == [
        "vsearch.data.views.Flip"
    ]
    names = ("size", "mean", "std", "interpolation", "fill")
    before = {
        "weights": theirs["sha256"][WEIGHTS],
        "preprocessing": {name: theirs["preprocessing"][name] for name in names},
        "dim": 8,
        "normalisation": "l2",
        "metric": "cosine",
    }
    known = sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()
    assert theirs["fingerprint"] == known
    assert theirs["preprocessing"].keys() == {*names}


def test_embeddings_without_views_are_refused(bundle, plain, tmp_path, capsys):
    new_photos(tmp_path / "new")
    main(["embed", str(plain), "--folder", str(tmp_path / "new"), "--out", str(tmp_path / "out")])
    message = refusal(capsys, "index", "add", bundle, "--embeddings", tmp_path / "out")
    assert "preprocessing.views" in message


def test_items_are_added_embedded_and_verified_with_views(tmp_path, capsys):
    made = fitted(tmp_path / "bundle", views=(Flip(),))
    new = new_photos(tmp_path / "new")
    main(["embed", str(made), "--folder", str(tmp_path / "new"), "--out", str(tmp_path / "out")])
    main(["index", "add", str(made), "--folder", str(tmp_path / "new")])
    main(["index", "verify", str(made)])
    assert "canaries: 8 photos embedded again" in capsys.readouterr().out

    opened = open_bundle(made, "torch")
    squares = np.stack([read_square(path, opened.runtime.preprocessing) for path in new])
    wanted = mean(made, squares)
    assert np.allclose(opened.index.vectors(np.array([30, 31])), wanted, atol=1e-5)
    assert np.allclose(open_parts(tmp_path / "out").vectors(np.arange(2)), wanted, atol=1e-3)


def test_a_query_may_have_one_view(bundle, capsys):
    query = bundle.parent / "photos" / "3.png"
    scores = {}
    for words in ([], ["--one-view"]):
        main(["search", str(bundle), str(query), "-k", "all", "--json", *words])
        hits = json.loads(capsys.readouterr().out)[0]["hits"]
        scores[bool(words)] = {hit["id"]: hit["score"] for hit in hits}

    runtime = open_bundle(bundle, "torch").runtime
    square = read_square(query, runtime.preprocessing)[None]
    both = mean(bundle, square)
    assert scores[False]["p3"] == pytest.approx(1, abs=1e-5)
    assert scores[True]["p3"] == pytest.approx(
        float((runtime.embed_squares(square) * both).sum()), abs=1e-5
    )
