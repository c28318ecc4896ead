"""A bundle keeps the text tower, so that people can search with words."""

import json
import shutil
import sys

import numpy as np
import pytest
from small_service import served_bundle
from tiny_words import SPOKEN, text_bundle

from vsearch.bundle.generations.manifest import read_fitted
from vsearch.bundle.generations.verify import verify
from vsearch.bundle.network import checked_words
from vsearch.bundle.opening import open_bundle
from vsearch.bundle.text import open_text
from vsearch.bundle.writing import fingerprint_of
from vsearch.cli.main import main
from vsearch.errors import BundleError
from vsearch.models.backbones.transformers import TransformersBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.text.encoder import OnnxText
from vsearch.search.query_by_example import ExampleError

pytest.importorskip("transformers", reason="needs the extra transformers")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle with an export."""
    folder = text_bundle(tmp_path_factory.mktemp("words") / "bundle")
    main(["export", str(folder), "--format", "onnx"])
    return folder


@pytest.fixture
def copied(tmp_path, bundle):
    shutil.copytree(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_words_come_back_from_the_bundle_alone(bundle, copied, hub_offline_everywhere):
    fitted = read_fitted(bundle)
    stored = checked_words(bundle, fitted)
    exported = open_text(bundle, fitted)
    assert isinstance(exported, OnnxText)
    assert np.allclose(exported.embed(SPOKEN), stored.embed(SPOKEN), atol=1e-6)
    shutil.rmtree(copied / "exports")
    in_pytorch = open_text(copied, fitted)
    assert np.array_equal(in_pytorch.embed(SPOKEN), stored.embed(SPOKEN))
    assert list(verify(bundle))


@pytest.fixture
def hub_offline_everywhere(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_the_vectors_are_those_before_writing(bundle):
    backbone = TransformersBackbone(str(bundle.parent / "clip"), text=True)
    words = checked_words(bundle, read_fitted(bundle))
    assert np.array_equal(words.embed(SPOKEN), backbone.words.embed(SPOKEN))


def test_the_fingerprint_covers_both_towers(bundle):
    fitted = read_fitted(bundle)
    backbone = TransformersBackbone(str(bundle.parent / "clip"), text=True)
    embedder = Embedder(backbone)
    assert fingerprint_of(embedder) == fitted["fingerprint"]
    next(backbone.words.tower.parameters()).data += 1
    assert fingerprint_of(embedder) != fitted["fingerprint"]


@pytest.mark.parametrize("name", ["text.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_refused(name, copied):
    path = copied / name
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    shutil.rmtree(copied / "exports")
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        open_text(copied, read_fitted(copied))


def test_without_export_and_pytorch_it_says_what_is_missing(copied, monkeypatch):
    shutil.rmtree(copied / "exports")
    monkeypatch.setitem(sys.modules, "vsearch.models.stored_embedder", None)
    with pytest.raises(BundleError, match=r"texts need PyTorch .*, or an export .*vsearch export"):
        open_text(copied, read_fitted(copied))


def test_without_the_extra_it_says_what_to_install(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BundleError, match=r"tokenizers can't be imported.*--extra text"):
        open_text(bundle, read_fitted(bundle))


def test_an_export_is_proven_with_texts_too(bundle):
    proof = json.loads((bundle / "exports" / "onnx" / "export.json").read_text())["proof"]
    assert proof["text"]["texts"] == 3
    assert proof["text"]["lowest_cosine"] > 0.9999


def test_a_text_is_searched_with(bundle):
    searcher = open_bundle(bundle)
    vector = searcher.embed_text("a red dress")
    scores = searcher.index.vectors(np.arange(12)) @ vector
    found = searcher.search_examples([], text="a red dress", k=5)
    order = np.argsort(-scores)[:5]
    assert found["id"].to_pylist() == [f"p{position}" for position in order]
    assert np.allclose(found["score"].to_numpy(), scores[order], atol=1e-6)
    assert set(
        searcher.search_examples([], text="red", where="label = l1")["label"].to_pylist()
    ) == {"l1"}


def test_a_photo_and_a_text_are_a_weighted_sum(bundle):
    searcher = open_bundle(bundle)
    photo = bundle.parent / "photos" / "3.png"
    words = searcher.embed_text("in red")
    seen = searcher.embed([photo])[0]
    for weight in (0.0, 0.3, 1.0):
        mixed = (1 - weight) * seen + weight * words
        scores = searcher.index.vectors(np.arange(12)) @ (mixed / np.linalg.norm(mixed))
        (found,) = searcher.search([photo], k=4, text="in red", text_weight=weight)
        assert np.allclose(found["score"].to_numpy(), np.sort(scores)[::-1][:4], atol=1e-5)
        (of_examples,) = [searcher.search_examples([photo], k=4, text="in red", text_weight=weight)]
        assert of_examples["id"].to_pylist() == found["id"].to_pylist()


def test_without_a_text_tower_words_are_refused_with_the_reason(tmp_path):
    searcher = open_bundle(served_bundle(tmp_path / "bundle"))
    with pytest.raises(ExampleError, match=r"no text tower .TinyBackbone.*use a photo.*text: true"):
        searcher.embed_text("red")
