import shutil

import pytest
import torch
from safetensors.torch import save_file

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.timm import TimmBackbone

timm = pytest.importorskip("timm", reason="needs the extra timm")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """State dicts of two networks with their classifiers."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    for name in ("test_resnet", "test_vit"):
        save_file(timm.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("test_resnet", ["conv1", "bn1", "layer1"]), ("test_vit", ["patch_embed", "blocks.0"])],
)
def test_frozen_stages_stay_and_the_spec_rebuilds(name, frozen, weights, freezes, rebuilds):
    backbone = TimmBackbone(
        name, str(weights / f"{name}.safetensors"), freeze=frozen, image_size=64
    )
    assert backbone.origin == f"file {name}.safetensors"
    freezes(backbone, frozen)
    again = rebuilds(backbone)
    assert again.origin == "random"
    assert again.preprocessing == backbone.preprocessing


def test_features_are_timms_own(weights):
    path = weights / "test_resnet.safetensors"
    backbone = TimmBackbone("test_resnet", str(path), image_size=64).eval()
    reference = timm.create_model("test_resnet", checkpoint_path=str(path)).eval()
    reference.reset_classifier(0)
    photos = torch.randn(2, 3, 64, 64)
    assert torch.allclose(backbone(photos), reference(photos), atol=1e-6)


def test_preprocessing_is_timms_for_this_model():
    imagenet = TimmBackbone("resnet18.tv_in1k", None).preprocessing
    assert imagenet == Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
    assert TimmBackbone("test_vit", None).preprocessing == Preprocessing(
        160, (0.5,) * 3, (0.5,) * 3, "bicubic"
    )
    assert TimmBackbone("test_vit", None, image_size=32).preprocessing.size == 32


def test_position_embeddings_follow_the_image_size(weights):
    own, small = (
        TimmBackbone("test_vit", str(weights / "test_vit.safetensors"), image_size=s)
        for s in (160, 64)
    )
    assert own.model.pos_embed.shape[1] - small.model.pos_embed.shape[1] == 10**2 - 4**2
    assert torch.equal(own.model.pos_embed[:, 0], small.model.pos_embed[:, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "timm has no model 'resnet19'"),
        ({"name": "test_vit.best"}, "no weights 'test_vit.best', only test_vit.r160_in1k"),
        (
            {"name": "test_vit", "weights": "IMAGENET1K_V2"},
            "'IMAGENET1K_V2' is neither DEFAULT, nor a .pth",
        ),
        ({"name": "vit_small_resnet26d_224"}, "timm has no weights for vit_small_resnet26d_224"),
        (
            {"name": "test_vit", "weights": None, "image_size": 30},
            "multiples of its patch size 16, such as 32, not 30",
        ),
        (
            {"name": "mixer_s32_224", "weights": None, "image_size": 64},
            "takes photos of 224 pixels only",
        ),
        (
            {"name": "test_vit", "weights": None, "freeze": ["layer1"]},
            "no part 'layer1'.*patch_embed, blocks.0",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(**arguments)


def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(
        ValueError, match=r"test_vit.safetensors does not fit test_resnet: \d+ tensors are missing"
    ):
        TimmBackbone("test_resnet", str(weights / "test_vit.safetensors"))


def test_without_network_the_error_says_where_the_weights_are(hub_offline):
    with pytest.raises(
        FileNotFoundError,
        match=r"huggingface.co/timm/test_resnet.*set `weights` to the file.*scratch",
    ):
        TimmBackbone("test_resnet")


def test_without_network_scratch_warns_and_freezes_nothing(hub_offline):
    with pytest.warns(UserWarning, match="RANDOM weights with nothing frozen"):
        backbone = TimmBackbone("test_resnet", freeze=["layer1"], weights_unavailable="scratch")
    assert (backbone.origin, backbone.wanted) == ("random", "timm test_resnet.r160_in1k")
    assert backbone.freeze == []
    assert all(parameter.requires_grad for parameter in backbone.parameters())


@pytest.fixture
def downloaded(weights, hub_has, tmp_path):
    """The weights of test_resnet as the Hub's client keeps them; returns the file."""
    (tmp_path / "files").mkdir()
    shutil.copy(weights / "test_resnet.safetensors", tmp_path / "files" / "model.safetensors")
    return hub_has("timm/test_resnet.r160_in1k", tmp_path / "files") / "model.safetensors"


def test_downloaded_weights_are_named_by_their_tag(downloaded, weights):
    backbone = TimmBackbone("test_resnet", freeze=["layer1"])
    assert (backbone.origin, backbone.wanted, backbone.freeze) == (
        "timm test_resnet.r160_in1k",
        "",
        ["layer1"],
    )
    theirs = TimmBackbone("test_resnet", str(weights / "test_resnet.safetensors"))
    assert all(
        torch.equal(value, backbone.state_dict()[name])
        for name, value in theirs.state_dict().items()
    )


@pytest.mark.parametrize("unavailable", ["error", "scratch"])
def test_a_damaged_download_is_an_error_that_names_the_file(unavailable, downloaded):
    downloaded.write_bytes(downloaded.read_bytes()[:-9])
    with pytest.raises(
        ValueError, match=rf"weights: timm test_resnet.* can't be read: .*replace {downloaded}"
    ):
        TimmBackbone("test_resnet", weights_unavailable=unavailable)
