"""Text towers and tokenizers give what their libraries give."""

import json
import random

import numpy as np
import pytest
import torch
from tiny_words import LENGTH, SPOKEN, clip_folder, siglip_folder

from vsearch.class_paths import build, describe
from vsearch.models.backbones.open_clip import OpenCLIPBackbone
from vsearch.models.backbones.restored import restored
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.backbones.transformers import TransformersBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.runtimes.onnx_export import text_to_onnx
from vsearch.models.text.encoder import OnnxText
from vsearch.models.text.library_tokenizers import of_open_clip
from vsearch.models.text.tokenizer import Tokenizer
from vsearch.models.text.towers import TextTower, Words

open_clip = pytest.importorskip("open_clip", reason="needs the extra open-clip")
transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

WRITTEN = [
    *SPOKEN,
    "",
    "  Naïve\tT-Shirts &amp; “Jeans” — 100 % cotton_wool,\nsize 44½ ",
    "ﬁt l'été 日本語のTシャツ 😀👗 don't we'LL",
    "very long " * 40,
]
MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 10, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each family, with the model's configuration that open_clip knows by name."""
    root = tmp_path_factory.mktemp("words")
    torch.manual_seed(1)
    (root / "tiny-words.json").write_text(json.dumps(MODEL))
    wide = {**MODEL["text_cfg"], "hf_tokenizer_name": str(root / "siglip")}
    wide |= {"tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True}
    wide |= {"pool_type": "last", "proj_bias": True}
    (root / "tiny-words-siglip.json").write_text(
        json.dumps({**MODEL, "text_cfg": wide, "custom_text": True})
    )
    remote = {**MODEL["text_cfg"], "hf_model_name": "xlm-roberta-base"}
    (root / "tiny-words-remote.json").write_text(json.dumps({**MODEL, "text_cfg": remote}))
    unread = {**MODEL["text_cfg"], "hf_tokenizer_name": "nobody/nothing"}
    (root / "tiny-words-unread.json").write_text(json.dumps({**MODEL, "text_cfg": unread}))
    open_clip.add_model_config(root)
    clip_folder(root / "clip")
    siglip_folder(root / "siglip")
    for name in ("tiny-words", "tiny-words-siglip"):
        torch.save(open_clip.create_model(name).state_dict(), root / f"{name}.pth")
    return root


def open_clip_pair(folders, name):
    path = str(folders / f"{name}.pth")
    model = open_clip.create_model(name, pretrained=path).eval()
    return OpenCLIPBackbone(name, path, text=True).eval(), model


@pytest.mark.parametrize("name", ["tiny-words", "tiny-words-siglip"])
def test_open_clips_vectors(name, folders):
    backbone, model = open_clip_pair(folders, name)
    tokens = open_clip.get_tokenizer(name)(WRITTEN)
    photos = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = model.encode_text(tokens, normalize=True).numpy()
        assert torch.allclose(backbone(photos), model.encode_image(photos), atol=1e-5)
    assert np.array_equal(backbone.words.tokenizer(WRITTEN), tokens.numpy())
    assert np.allclose(backbone.words.embed(WRITTEN), wanted, atol=1e-6)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_transformers_vectors(family, folders):
    folder = str(folders / family)
    backbone = TransformersBackbone(folder, text=True).eval()
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(
        WRITTEN, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    photos = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        wanted = model.get_text_features(tokens).pooler_output
        wanted = torch.nn.functional.normalize(wanted, dim=1).numpy()
        seen = model.get_image_features(photos).pooler_output
        assert torch.allclose(backbone(photos), seen, atol=1e-6)
    assert np.array_equal(backbone.words.tokenizer(WRITTEN), tokens.numpy())
    assert np.allclose(backbone.words.embed(WRITTEN), wanted, atol=1e-6)


@pytest.mark.parametrize("cleaning", ["lower", "whitespace", "canonicalize"])
def test_open_clips_tokens_of_made_up_texts(cleaning):
    theirs = open_clip.SimpleTokenizer(clean=cleaning, context_length=20)
    ours = of_open_clip(theirs)
    drawn = random.Random(0)
    letters = "abcXYZ019 _-'\"&;.,!?$%éßИжñ日本½²“ﬁ😀\t\n\xa0"
    texts = ["".join(drawn.choices(letters, k=drawn.randint(0, 40))) for _ in range(500)]
    assert np.array_equal(ours(texts), theirs(texts).numpy())
    again = Tokenizer(ours.file, ours.cleaning)
    assert np.array_equal(again(texts), ours(texts))


@pytest.mark.parametrize("name", ["tiny-words", "clip", "siglip"])
def test_the_text_tower_is_neither_trained_nor_stored_with_the_image_tower(name, folders):
    with_text, without = (backbone_of(name, folders, text) for text in (True, False))
    frozen = with_text.words.tower
    assert not any(weight.requires_grad for weight in frozen.parameters())
    with_text.train()
    assert not frozen.training
    added = set(with_text.state_dict()) - set(without.state_dict())
    assert added <= {"model.visual_projection.weight"}  # CLIP's in transformers
    assert without.words is None


def backbone_of(name, folders, text):
    if name == "tiny-words":
        return OpenCLIPBackbone(name, str(folders / f"{name}.pth"), text=text)
    return TransformersBackbone(str(folders / name), text=text)


@pytest.mark.parametrize("name", ["tiny-words", "clip", "siglip"])
def test_the_towers_are_built_again_from_their_descriptions(name, folders, rebuilds, hub_offline):
    backbone = backbone_of(name, folders, text=True)
    rebuilds(backbone)
    described = json.loads(json.dumps(describe(backbone.words.tower)))
    with restored(None):
        again = build(described, TextTower)
    again.load_state_dict(backbone.words.tower.state_dict())
    words = Words(again, backbone.words.tokenizer)
    assert np.array_equal(words.embed(WRITTEN), backbone.words.embed(WRITTEN))
    with restored(None):
        assert build(backbone.spec(), type(backbone)).words is None


@pytest.mark.parametrize("name", ["tiny-words", "clip", "siglip"])
def test_onnx_equals_pytorch(name, folders, tmp_path):
    words = backbone_of(name, folders, text=True).words
    text_to_onnx(words, tmp_path)
    exported = OnnxText(tmp_path, words.tokenizer)
    for count in (1, 2, 70):
        texts = (WRITTEN * 10)[:count]
        assert np.allclose(exported.embed(texts), words.embed(texts), atol=1e-6)


def test_a_file_without_the_text_tower_is_refused(folders, tmp_path):
    tower = open_clip.create_model("tiny-words").visual
    torch.save(tower.state_dict(), tmp_path / "tower.pth")
    with pytest.raises(ValueError, match="does not fit the text tower of tiny-words"):
        OpenCLIPBackbone("tiny-words", str(tmp_path / "tower.pth"), text=True)


def test_other_text_towers_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match=r"text: .*xlm-roberta-base.*isn't supported"):
        OpenCLIPBackbone("tiny-words-remote", None, text=True)
    transformers.ViTConfig(hidden_size=32, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"text: .* is a vit network; only .*CLIP and SigLIP"):
        TransformersBackbone(str(tmp_path), None, text=True)


def test_a_tokenizer_that_cant_be_downloaded_is_told_of(folders, hub_offline):
    with pytest.raises(ValueError, match="text: the tokenizer of tiny-words-unread can't be read"):
        OpenCLIPBackbone("tiny-words-unread", None, text=True)


def test_a_folder_without_tokenizer_is_refused(folders, tmp_path):
    transformers.AutoConfig.from_pretrained(folders / "clip").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"text: the tokenizer of .* knows 2 tokens"):
        TransformersBackbone(str(tmp_path), None, text=True)


def test_a_head_is_refused_with_a_text_tower(folders):
    with pytest.raises(ValueError, match=r"head: .* another space than the texts'"):
        Embedder(backbone_of("clip", folders, text=True), LinearHead(8))
    assert Embedder(TorchvisionBackbone("resnet18", None), LinearHead(8)).dim == 8
