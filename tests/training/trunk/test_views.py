import subprocess
import sys

import pytest
import torch
from tiny import ChainBackbone
from torch import nn
from torchvision.transforms import v2

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.cut import cut
from vsearch.training.trunk.views import PLAIN, description, make_view, trunk_key, view_keys


def made(seed: int = 0, **changes) -> str:
    torch.manual_seed(seed)
    backbone = ChainBackbone(**changes)
    return trunk_key(cut(backbone), backbone.preprocessing, "32-true")


def test_equal_trunks_have_equal_keys():
    assert made() == made()
    assert len(made()) == 64


def test_all_that_changes_a_map_changes_the_key():
    torch.manual_seed(0)
    backbone = ChainBackbone()
    found, own = cut(backbone), backbone.preprocessing
    other = Preprocessing(16, (0.4, 0.5, 0.5), (0.5, 0.5, 0.5))
    keys = {
        made(),
        made(seed=1),
        made(size=32),
        trunk_key(found, other, "32-true"),
        trunk_key(found, own, "bf16-mixed"),
    }
    backbone.model.stem[1].running_mean += 1
    keys.add(trunk_key(found, own, "32-true"))
    backbone.model.stem[0].padding = (0, 0)
    keys.add(trunk_key(found, own, "32-true"))
    assert len(keys) == 7


def test_what_is_trained_does_not_change_the_key():
    torch.manual_seed(0)
    backbone = ChainBackbone()
    before = trunk_key(cut(backbone), backbone.preprocessing, "32-true")
    with torch.no_grad():
        backbone.model.body[0].weight += 1
    assert trunk_key(cut(backbone), backbone.preprocessing, "32-true") == before


def test_keys_of_views():
    keys = view_keys("abc", [PLAIN, 0, 1], "flip", 0)
    assert len(set(keys)) == 3
    assert keys == view_keys("abc", [PLAIN, 0, 1], "flip", 0)
    plain, *drawn = view_keys("abc", [PLAIN, 0, 1], "crop", 0)
    assert plain == keys[0]
    assert not {*drawn} & {*keys}
    assert not {*view_keys("abc", [0, 1], "flip", 1)} & {*keys}
    assert not {*view_keys("abd", [PLAIN, 0, 1], "flip", 0)} & {*keys}


def test_a_view_is_decided_by_its_key_and_leaves_the_generator_alone():
    square = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(3, 8, 8)
    flip = v2.RandomHorizontalFlip()
    keys = view_keys("abc", [*range(40)], "flip", 0)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    views = [make_view(square, number, key, flip) for number, key in enumerate(keys)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(
        torch.equal(one, make_view(square, number, keys[number], flip))
        for number, one in enumerate(views)
    )
    flipped = sum(torch.equal(view, square.flip(-1)) for view in views)
    assert 8 < flipped < 32
    assert all(torch.equal(view, square) or torch.equal(view, square.flip(-1)) for view in views)
    assert make_view(square, PLAIN, keys[0], v2.RandomHorizontalFlip(1.0)) is square
    assert make_view(square, 0, keys[0], None) is square


class Shift(nn.Module):
    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by

    def forward(self, square):
        return square.roll(self.by, -1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (v2.RandomHorizontalFlip(0.5), v2.RandomHorizontalFlip(0.4)),
        (v2.ColorJitter(0.1), v2.ColorJitter(0.2)),
        (v2.RandomResizedCrop(8), v2.RandomResizedCrop(9)),
        (Shift(1), Shift(2)),
        (v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.5)),
    ],
)
def test_augmentations_are_told_apart_by_their_settings(one, other):
    assert description(nn.Sequential(one)) != description(nn.Sequential(other))
    assert description(nn.Sequential(one, other)) != description(nn.Sequential(other, one))
    assert description(nn.Sequential(one).train()) == description(nn.Sequential(one).eval())


def test_another_process_describes_an_augmentation_alike():
    told = "nn.Sequential(v2.RandomHorizontalFlip(), v2.ColorJitter(0.1), v2.RandomErasing())"
    script = (
        "from torch import nn; from torchvision.transforms import v2; from "
        f"vsearch.training.trunk.views import description;print(description({told}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == description(eval(told))
