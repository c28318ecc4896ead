from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

from vsearch.backbones.torchvision import TorchvisionBackbone

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


@pytest.mark.parametrize(("name", "dim"), [("resnet50", 2048), ("mobilenet_v3_small", 1024), ("vit_b_32", 768)])
def test_dim_of_other_networks(name, dim):
    size = 224 if name == "vit_b_32" else 32
    backbone = TorchvisionBackbone(name, None, image_size=size).eval()
    assert backbone(torch.zeros(1, 3, size, size)).shape == (1, dim)
    assert backbone.dim == dim


def test_frozen_stages_train_without_autograd_and_bit_by_bit_still(weights):
    backbone = TorchvisionBackbone("resnet18", str(weights), freeze=STEM, image_size=32).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    recorded = []
    backbone.model.layer3.register_forward_hook(lambda *args: recorded.append(args[-1].requires_grad))
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], 0.1)
    backbone(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    assert recorded == [False]
    for name, value in backbone.state_dict().items():
        still = torch.equal(value, before[name])
        assert still == (not name.startswith("model.layer4")), name


def test_safetensors_with_and_without_the_classifier(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    save_file({key: value for key, value in state.items() if not key.startswith("fc.")}, tmp_path / "w.safetensors")
    ours = TorchvisionBackbone("resnet18", str(tmp_path / "w.safetensors")).state_dict()
    theirs = TorchvisionBackbone("resnet18", str(weights)).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match=r"resnet18.pth does not fit ResNet: \d+ tensors are missing.*layer1.0.conv1"):
        TorchvisionBackbone("resnet50", str(weights))


def test_a_pickle_with_code_is_not_run(tmp_path):
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "evil.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        TorchvisionBackbone("resnet18", str(tmp_path / "evil.pth"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet51"}, "no classification model 'resnet51'"),
        ({"name": "resnet18", "weights": "IMAGENET"}, r"'IMAGENET' is neither.*IMAGENET1K_V1, DEFAULT"),
        ({"name": "resnet18", "weights": "gone.pth"}, "no file gone.pth"),
        ({"name": "resnet18", "weights": None, "freeze": ["stem"]}, r"no submodule 'stem'.*layer4"),
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
    with pytest.raises(FileNotFoundError, match=rf"no route to host.*{tmp_path}.*resnet18-.*\.pth.*scratch"):
        TorchvisionBackbone("resnet18", "IMAGENET1K_V1")


def test_without_network_scratch_warns_and_freezes_nothing(offline):
    with pytest.warns(UserWarning, match="RANDOM weights with nothing frozen"):
        backbone = TorchvisionBackbone("resnet18", "IMAGENET1K_V1", freeze=STEM, weights_unavailable="scratch")
    assert backbone.origin == "random"
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.freeze == STEM  # what was asked for stays on record


def test_preprocessing_is_the_weights_own_unless_a_size_is_given():
    own = TorchvisionBackbone("resnet18", None).preprocessing
    assert (own.size, own.mean, own.std) == (224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert TorchvisionBackbone("resnet18", None, image_size=64).preprocessing.size == 64


def test_random_residual_blocks_start_as_identity():
    random, loaded = TorchvisionBackbone("resnet50", None), TorchvisionBackbone("resnet18", None)
    assert not random.model.layer1[0].bn3.weight.any()
    assert not loaded.model.layer1[0].bn2.weight.any()
    assert random.model.layer1[0].bn2.weight.all()


def test_loaded_weights_are_left_as_they_are(weights):
    assert TorchvisionBackbone("resnet18", str(weights)).model.layer1[0].bn2.weight.all()
