import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from vsearch.freezing import blocks, freeze, hold_frozen


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def test_frozen_modules_have_no_gradient_and_stay_in_eval_mode_with_their_statistics():
    model = small()
    freeze(model, ["0", "1"])
    model.train()
    hold_frozen(model)
    before = model[1].running_mean.clone()
    model(torch.randn(8, 3, 4, 4)).sum().backward()
    assert torch.equal(model[1].running_mean, before)
    assert model[0].weight.grad is None
    assert model[3].weight.grad is not None
    assert [module.training for module in model] == [False, False, True, True]


def test_without_hold_frozen_batchnorm_statistics_move():
    model = small()
    freeze(model, ["0", "1"])
    before = model[1].running_mean.clone()
    model.train()(torch.randn(8, 3, 4, 4))
    assert not torch.equal(model[1].running_mean, before)


def test_a_partly_frozen_parent_still_trains():
    model = nn.Sequential(small(), nn.Linear(2, 2))
    freeze(model, ["0.0"])
    model.train()
    hold_frozen(model)
    assert model.training
    assert model[0].training
    assert not model[0][0].training


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no submodule 'layer9'.*conv1, bn1, relu, maxpool, layer1"):
        freeze(resnet50(), ["layer9"])


def test_blocks_of_resnet50_with_its_classifier():
    model = resnet50()
    freeze(model, ["conv1", "bn1", "layer1", "layer2", "layer3"])
    found = {block.name: block for block in blocks(model)}
    assert list(found) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert round(100 * found["layer4"].share, 1) == 58.6
    assert found["layer4"].trainable == found["layer4"].parameters == 14_964_736
    assert found["layer3"].trainable == 0
    assert sum(block.share for block in found.values()) == pytest.approx(1)
    assert sum(block.parameters for block in found.values()) == sum(p.numel() for p in model.parameters())


def test_blocks_walk_down_wrappers_and_skip_what_has_no_parameters():
    wrapped = nn.ModuleDict({"model": nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))})
    assert [(block.name, block.parameters) for block in blocks(wrapped)] == [("0", 6), ("2", 3)]
