import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn
from torchvision.models import (
    ResNet18_Weights,
    densenet121,
    googlenet,
    resnet18,
    vision_transformer,
    vit_b_16,
)

from vsearch.bundle.opening import open_bundle
from vsearch.bundle.writing import write_bundle
from vsearch.indexes.faiss import FaissIndex
from vsearch.models.backbones.pooling import GeM
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.embedder import Embedder

STEM = ["conv1", "bn1", "layer1", "layer2", "layer3"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(1)
    torch.save(resnet18().state_dict(), path)
    return path


def test_features_are_the_networks_own_without_its_classifier(weights):
    backbone = TorchvisionBackbone("resnet18", str(weights), image_size=32).eval()
    reference = resnet18()
    reference.load_state_dict(torch.load(weights, weights_only=True))
    reference.fc = nn.Identity()
    photos = torch.randn(2, 3, 32, 32)
    assert backbone.dim == 512
    assert torch.allclose(backbone(photos), reference.eval()(photos), atol=1e-5)
    assert backbone.origin == "file resnet18.pth"


@pytest.fixture
def tiny_vit(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's vision transformers, 4 layers deep and 16 channels wide."""
    make = vision_transformer._vision_transformer
    small = {"num_layers": 4, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    monkeypatch.setattr(
        vision_transformer, "_vision_transformer", lambda **given: make(**{**given, **small})
    )


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("resnet50", 2048),
        ("mobilenet_v3_small", 1024),
        ("squeezenet1_1", 512),
        ("googlenet", 1024),
        ("swin_t", 768),
    ],
)
def test_dim_of_other_networks(name, dim):
    backbone = TorchvisionBackbone(name, None, image_size=32)
    assert backbone.train()(torch.zeros(2, 3, 32, 32)).shape == (2, dim)
    assert backbone.dim == dim


def test_frozen_stages_train_without_autograd_and_bit_by_bit_still(weights):
    backbone = TorchvisionBackbone("resnet18", str(weights), freeze=STEM, image_size=32).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    recorded = []
    backbone.model.layer3.register_forward_hook(
        lambda *args: recorded.append(args[-1].requires_grad)
    )
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], 0.1)
    backbone(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    assert recorded == [False]
    for name, value in backbone.state_dict().items():
        still = torch.equal(value, before[name])
        assert still == (not name.startswith("model.layer4")), name


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_frozen_stages_stay_and_the_spec_rebuilds(
    name, weights, tiny_vit, tmp_path, freezes, rebuilds
):
    frozen = {"resnet18": STEM, "vit_b_16": ["conv_proj", "encoder.layers.encoder_layer_0"]}[name]
    if name == "vit_b_16":
        weights = tmp_path / "vit.pth"
        torch.save(vit_b_16(image_size=64).state_dict(), weights)
    backbone = TorchvisionBackbone(name, str(weights), freeze=frozen, image_size=32)
    freezes(backbone, frozen)
    again = rebuilds(backbone)
    assert (again.preprocessing, again.origin) == (backbone.preprocessing, "random")


def test_all_frozen(weights):
    backbone = TorchvisionBackbone("resnet18", str(weights), freeze=["all"], image_size=32).train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.model.modules())


def test_safetensors_with_and_without_the_classifier(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    save_file(
        {key: value for key, value in state.items() if not key.startswith("fc.")},
        tmp_path / "w.safetensors",
    )
    ours = TorchvisionBackbone("resnet18", str(tmp_path / "w.safetensors")).state_dict()
    theirs = TorchvisionBackbone("resnet18", str(weights)).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_weights_of_another_architecture_are_refused(weights):
    message = (
        r"resnet18.pth does not fit resnet50: \d+ tensors are missing.*layer1.0.conv1.*"
        "another architecture"
    )
    with pytest.raises(ValueError, match=message):
        TorchvisionBackbone("resnet50", str(weights))


def test_older_files_are_read_too(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    torch.save(
        {k: v for k, v in state.items() if "num_batches_tracked" not in k}, tmp_path / "resnet.pth"
    )
    backbone = TorchvisionBackbone("resnet18", str(tmp_path / "resnet.pth"))
    assert torch.equal(backbone.model.bn1.weight, state["bn1.weight"])
    dotted = {
        re.sub(r"(denselayer\d+\.\w+)([12]\.)", r"\1.\2", k): v
        for k, v in densenet121().state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in dotted
    torch.save(dotted, tmp_path / "densenet.pth")
    first = TorchvisionBackbone(
        "densenet121", str(tmp_path / "densenet.pth")
    ).model.features.denseblock1.denselayer1
    assert torch.equal(first.conv1.weight, dotted["features.denseblock1.denselayer1.conv.1.weight"])


def test_side_classifiers_are_left_out_and_the_input_is_scaled_as_with_torchvisions_weights(
    tmp_path,
):
    network = googlenet(init_weights=False, transform_input=True)
    torch.save(network.state_dict(), tmp_path / "googlenet.pth")
    network.fc = nn.Identity()
    photos = torch.randn(2, 3, 64, 64)
    backbone = TorchvisionBackbone(
        "googlenet", str(tmp_path / "googlenet.pth"), image_size=64
    ).eval()
    assert torch.allclose(backbone(photos), network.eval()(photos), atol=1e-5)


def test_position_embeddings_follow_the_image_size(tiny_vit, tmp_path):
    network = vit_b_16(image_size=64)
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    own, small = (
        TorchvisionBackbone("vit_b_16", str(tmp_path / "vit.pth"), image_size=size)
        for size in (64, 32)
    )
    network.heads = nn.Identity()
    photos = torch.randn(2, 3, 64, 64)
    assert torch.allclose(own.eval()(photos), network.eval()(photos), atol=1e-5)
    state = vision_transformer.interpolate_embeddings(32, 16, network.state_dict())
    assert torch.equal(small.model.encoder.pos_embedding, state["encoder.pos_embedding"])
    assert small.model.encoder.pos_embedding.shape == (1, 2 * 2 + 1, 16)


def test_gem_stands_in_for_the_average(weights, rebuilds):
    average = TorchvisionBackbone("resnet18", str(weights), image_size=64).eval()
    pooled = TorchvisionBackbone("resnet18", str(weights), image_size=64, pool=GeM(p=1.0)).eval()
    photos = torch.randn(2, 3, 64, 64)
    assert torch.allclose(pooled(photos), average(photos), atol=1e-4)
    assert set(pooled.state_dict()) - set(average.state_dict()) == {"model.avgpool.exponent"}
    assert pooled.stages[-1] == "avgpool"
    with torch.no_grad():
        pooled.model.avgpool.exponent.fill_(2.5)  # learnt
    save(
        {name: value.contiguous() for name, value in pooled.state_dict().items()}
    )  # refuses tensors that stand there twice
    assert pooled.spec()["init_args"]["pool"] == {
        "class_path": "vsearch.models.backbones.pooling.GeM",
        "init_args": {"p": 1.0, "trainable": True, "eps": 1e-6},
    }
    assert rebuilds(pooled).model.avgpool.exponent.item() == 2.5


def test_a_pickle_with_code_is_not_run(tmp_path):
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "evil.pth")
    with pytest.raises(
        ValueError, match=r"evil.pth can't be read: it isn't a PyTorch file, or holds code"
    ):
        TorchvisionBackbone("resnet18", str(tmp_path / "evil.pth"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_damaged_file_is_refused(suffix, tmp_path):
    (tmp_path / f"cut.{suffix}").write_bytes(b"\x00" * 5)
    with pytest.raises(ValueError, match=rf"weights: .*cut.{suffix} can't be read"):
        TorchvisionBackbone("resnet18", str(tmp_path / f"cut.{suffix}"))


@pytest.mark.parametrize("held", [[torch.zeros(1)], {"state_dict": {}}])
def test_a_file_without_a_state_dict_is_refused(held, tmp_path):
    torch.save(held, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"other.pth (holds a list, not a state_dict|does not fit resnet18)"
    ):
        TorchvisionBackbone("resnet18", str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet51"}, "no classification model 'resnet51'"),
        (
            {"name": "resnet18", "weights": "IMAGENET"},
            r"'IMAGENET' is neither.*IMAGENET1K_V1, DEFAULT",
        ),
        ({"name": "resnet18", "weights": "gone.pth"}, "no file gone.pth"),
        (
            {"name": "resnet18", "weights": None, "freeze": ["stem"]},
            r"no part 'stem'.*conv1, bn1, layer1.*all",
        ),
        (
            {"name": "vit_b_16", "weights": None, "image_size": 40},
            "multiples of its patch size 16, such as 32, not 40",
        ),
        (
            {"name": "alexnet", "weights": None, "image_size": 32},
            "alexnet can't take photos of 32 pixels",
        ),
        (
            {"name": "vgg11", "weights": None, "image_size": 32, "pool": GeM()},
            "vgg11 has no average over all positions",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        TorchvisionBackbone(**arguments)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)


def test_without_network_the_error_says_where_the_file_goes(offline, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"no route to host.*{tmp_path}.*resnet18-.*\.pth.*scratch"
    ):
        TorchvisionBackbone("resnet18", "IMAGENET1K_V1")


def test_without_network_scratch_warns_and_freezes_nothing(offline):
    with pytest.warns(UserWarning, match="RANDOM weights with nothing frozen"):
        backbone = TorchvisionBackbone(
            "resnet18", "IMAGENET1K_V1", freeze=STEM, weights_unavailable="scratch"
        )
    assert (backbone.origin, backbone.wanted) == (
        "random",
        "torchvision ResNet18_Weights.IMAGENET1K_V1",
    )
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert (
        backbone.freeze == backbone.spec()["init_args"]["freeze"] == []
    )  # what was done, not what was asked for


@pytest.fixture
def cached(monkeypatch, tmp_path) -> Path:
    """Where torch's cache, an empty one, would keep resnet18's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = (
        tmp_path / "torch" / "hub" / "checkpoints" / Path(ResNet18_Weights.IMAGENET1K_V1.url).name
    )
    file.parent.mkdir(parents=True)
    return file


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("unavailable", ["error", "scratch"])
def test_a_cached_pickle_with_code_is_not_run(unavailable, cached, tmp_path):
    torch.save({"conv1.weight": Evil(tmp_path / "made")}, cached)
    with pytest.raises(
        ValueError,
        match=rf"weights: {cached} can't be read: .* holds code.*Delete or replace the file",
    ):
        TorchvisionBackbone("resnet18", "IMAGENET1K_V1", weights_unavailable=unavailable)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("unavailable", ["error", "scratch"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_half_copied_file_in_the_cache_is_an_error(
    share, legacy, unavailable, cached, weights, tmp_path
):
    whole = tmp_path / "whole.pth"
    torch.save(
        torch.load(weights, weights_only=True), whole, _use_new_zipfile_serialization=not legacy
    )
    data = whole.read_bytes()
    cached.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        ValueError, match=rf"weights: {cached} can't be read: .+\. Delete or replace the file\."
    ):
        TorchvisionBackbone("resnet18", "IMAGENET1K_V1", weights_unavailable=unavailable)


def test_a_file_in_the_cache_is_taken(cached, weights):
    cached.write_bytes(weights.read_bytes())
    backbone = TorchvisionBackbone("resnet18", "IMAGENET1K_V1", freeze=STEM)
    assert (backbone.origin, backbone.wanted) == ("torchvision ResNet18_Weights.IMAGENET1K_V1", "")
    assert backbone.freeze == backbone.spec()["init_args"]["freeze"] == STEM
    assert torch.equal(
        backbone.model.conv1.weight, torch.load(weights, weights_only=True)["conv1.weight"]
    )


@pytest.fixture
def wrong_hash(cached, tmp_path, monkeypatch):
    """What comes from the address of resnet18's weights is something else."""
    (tmp_path / cached.name).write_bytes(b"<html>Please log in</html>")
    monkeypatch.setattr(
        ResNet18_Weights.IMAGENET1K_V1.value, "url", (tmp_path / cached.name).as_uri()
    )


def test_a_download_with_another_hash_is_none(wrong_hash, cached):
    with pytest.raises(
        FileNotFoundError, match=rf"downloaded \(invalid hash.*Put the file at {cached}.*scratch"
    ):
        TorchvisionBackbone("resnet18", "IMAGENET1K_V1")
    with pytest.warns(UserWarning, match=r"invalid hash.*RANDOM weights with nothing frozen"):
        backbone = TorchvisionBackbone("resnet18", "IMAGENET1K_V1", weights_unavailable="scratch")
    assert backbone.origin == "random"
    assert not cached.exists()


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("resnet18", ("fc", 512 * 1000 + 1000)),
        ("mobilenet_v3_small", ("classifier.3", 1024 * 1000 + 1000)),
        ("squeezenet1_1", ("classifier.1", 512 * 1000 + 1000)),
    ],
)
def test_the_removed_classifier_is_on_record(name, removed):
    assert TorchvisionBackbone(name, None, image_size=32).removed == removed


def test_mnasnet_takes_a_state_without_version_and_its_bundle_opens(rebuilds, tmp_path):
    backbone = TorchvisionBackbone("mnasnet0_5", None, image_size=32).eval()
    rebuilds(backbone)
    photos = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        embeddings = Embedder(backbone)(photos).numpy()
    index = FaissIndex()
    index.build(embeddings)
    items = pd.DataFrame({"id": list("abcd"), "path": list("abcd"), "label": list("abcd")})
    write_bundle(tmp_path / "bundle", Embedder(backbone), index, items, {}, {})
    opened = open_bundle(tmp_path / "bundle")
    with torch.no_grad():
        assert np.array_equal(opened.runtime.network(photos).numpy(), embeddings)


def test_preprocessing_is_the_weights_own_unless_a_size_is_given():
    own = TorchvisionBackbone("resnet18", None).preprocessing
    assert (own.size, own.mean, own.std) == (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert TorchvisionBackbone("resnet18", None, image_size=64).preprocessing.size == 64
    assert (
        TorchvisionBackbone("mobilenet_v3_small", None).spec()["init_args"]["image_size"] == 224
    )  # a bundle's own


def test_random_residual_blocks_start_as_identity():
    random, loaded = TorchvisionBackbone("resnet50", None), TorchvisionBackbone("resnet18", None)
    assert not random.model.layer1[0].bn3.weight.any()
    assert not loaded.model.layer1[0].bn2.weight.any()
    assert random.model.layer1[0].bn2.weight.all()


def test_loaded_weights_are_left_as_they_are(weights):
    assert TorchvisionBackbone("resnet18", str(weights)).model.layer1[0].bn2.weight.all()
