import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.open_clip import OpenCLIPBackbone

open_clip = pytest.importorskip("open_clip", reason="needs the extra open-clip")

TEXT = {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1}
VISION = {
    "tiny-clip": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8},
    "tiny-siglip": {
        "timm_model_name": "test_vit",
        "image_size": 160,
        "timm_pool": "token",
        "timm_proj": "linear",
    },
}
MADE = {
    "mean": (0.1, 0.2, 0.3),
    "std": (0.4, 0.5, 0.6),
    "interpolation": "bilinear",
    "hf_hub": "nobody/tiny-clip/",
}


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """Two tiny models that open_clip knows by name, and a state_dict of each."""
    folder = tmp_path_factory.mktemp("open_clip")
    for name, vision in VISION.items():
        config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(1)
    for name in VISION:
        save_file(open_clip.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def tag(monkeypatch):
    """A tag of weights for tiny-clip."""
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-clip", {"made": MADE})


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("tiny-clip", ["conv1", "transformer.resblocks.0"]),
        ("tiny-siglip", ["trunk.patch_embed", "trunk.blocks.0"]),
    ],
)
@pytest.mark.parametrize("size", [None, 64])
def test_frozen_stages_stay_and_the_spec_rebuilds(name, frozen, size, weights, freezes, rebuilds):
    backbone = OpenCLIPBackbone(
        name, str(weights / f"{name}.safetensors"), freeze=frozen, image_size=size
    )
    assert backbone.dim == 16
    assert backbone.preprocessing.size == (size or VISION[name]["image_size"])
    freezes(backbone, frozen)
    rebuilds(backbone)


@pytest.mark.parametrize("name", VISION)
def test_features_are_those_of_the_image_tower(name, weights):
    path = str(weights / f"{name}.safetensors")
    reference = open_clip.create_model(name, pretrained=path, force_image_size=64).eval()
    photos = torch.randn(2, 3, 64, 64)
    backbone = OpenCLIPBackbone(name, path, image_size=64).eval()
    assert torch.allclose(backbone(photos), reference.encode_image(photos), atol=1e-5)


def test_a_file_of_the_image_tower_alone(weights, tmp_path):
    tower = open_clip.create_model(
        "tiny-clip", pretrained=str(weights / "tiny-clip.safetensors")
    ).visual
    torch.save(tower.state_dict(), tmp_path / "tower.pth")
    backbone = OpenCLIPBackbone("tiny-clip", str(tmp_path / "tower.pth"))
    assert torch.equal(backbone.model.proj, tower.proj)
    assert not any(
        isinstance(module, nn.Embedding) for module in backbone.modules()
    )  # no text tower is kept


def test_preprocessing_is_that_of_the_weights(tag, weights, monkeypatch):
    path = str(weights / "tiny-clip.safetensors")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda entry: path)
    named = OpenCLIPBackbone("tiny-clip", "made")
    assert named.origin == "open_clip tiny-clip made"
    assert named.preprocessing == Preprocessing(32, MADE["mean"], MADE["std"], "bilinear")
    assert (
        OpenCLIPBackbone("tiny-clip", path).preprocessing == named.preprocessing
    )  # the architecture's first tag


def test_without_tags_it_is_clips_own():
    plain = OpenCLIPBackbone("tiny-siglip", None).preprocessing
    assert plain == Preprocessing(
        160, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD, "bicubic"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ViT-B-33"}, "open_clip has no model 'ViT-B-33'"),
        (
            {"name": "ViT-B-32", "weights": "DEFAULT"},
            "'DEFAULT' is neither.*Tags: openai, .*laion2b_s34b_b79k",
        ),
        ({"name": "ViT-B-32", "weights": "openai"}, "belong to ViT-B-32-quickgelu"),
        (
            {"name": "tiny-clip", "weights": None, "image_size": 30},
            "multiples of its patch size 8, such as 32, not 30",
        ),
        (
            {"name": "tiny-clip", "weights": None, "freeze": ["layer1"]},
            "no part 'layer1'.*transformer.resblocks.0",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        OpenCLIPBackbone(**arguments)


def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(
        ValueError, match=r"tiny-siglip.safetensors does not fit tiny-clip: \d+ tensors are missing"
    ):
        OpenCLIPBackbone("tiny-clip", str(weights / "tiny-siglip.safetensors"))


def test_without_network_the_error_says_where_the_weights_are(tag, hub_offline):
    with pytest.raises(
        FileNotFoundError,
        match=r"huggingface.co/nobody/tiny-clip on another machine, and set `weights`.*scratch",
    ):
        OpenCLIPBackbone("tiny-clip", "made")


def test_without_network_scratch_warns_and_freezes_nothing(tag, hub_offline):
    with pytest.warns(UserWarning, match="RANDOM weights with nothing frozen"):
        backbone = OpenCLIPBackbone(
            "tiny-clip", "made", freeze=["conv1"], weights_unavailable="scratch"
        )
    assert (backbone.origin, backbone.wanted, backbone.freeze) == (
        "random",
        "open_clip tiny-clip made",
        [],
    )
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_a_download_with_another_hash_is_none(tag, monkeypatch):
    def fail(entry):
        raise RuntimeError("Model has been downloaded but the SHA256 checksum does not match")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with pytest.raises(
        FileNotFoundError, match=r"open_clip tiny-clip made can't be downloaded .*SHA256"
    ):
        OpenCLIPBackbone("tiny-clip", "made")
    with pytest.warns(UserWarning, match="RANDOM weights"):
        assert (
            OpenCLIPBackbone("tiny-clip", "made", weights_unavailable="scratch").origin == "random"
        )


@pytest.mark.parametrize("unavailable", ["error", "scratch"])
def test_a_damaged_download_is_an_error_that_names_the_file(
    unavailable, tag, weights, tmp_path, monkeypatch
):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((weights / "tiny-clip.safetensors").read_bytes()[:-9])
    monkeypatch.setattr(open_clip, "download_pretrained", lambda entry: str(cut))
    with pytest.raises(ValueError, match=rf"weights: {cut} can't be read: .*Delete or replace"):
        OpenCLIPBackbone("tiny-clip", "made", weights_unavailable=unavailable)
