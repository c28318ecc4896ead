from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny import TinyBackbone
from torch import nn
from torchvision.models import resnet18

from vsearch.models.backbones.inputs import measured_dim, require_whole_patches
from vsearch.models.backbones.restored import restored


def test_whole_patches():
    require_whole_patches("net", 224, 16)
    with pytest.raises(
        ValueError,
        match="image_size: net takes multiples of its patch size 16, such as 224, not 230",
    ):
        require_whole_patches("net", 230, 16)


def test_a_photo_smaller_than_a_patch_is_told_the_smallest_size():
    with pytest.raises(ValueError, match="such as 14, not 5"):
        require_whole_patches("net", 5, 14)


def test_dim_is_measured_and_nothing_else_changes():
    backbone = TinyBackbone(dim=5, frozen=True)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert measured_dim(backbone, "net", 16) == 5
    assert backbone.training
    assert not backbone.stem.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


class Wrong(TinyBackbone):
    """Makes a map, or fails with an error that it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        if self.error is not None:
            raise self.error
        return self.stem(photos)


def test_a_map_is_no_vector():
    with pytest.raises(
        ValueError, match=r"name: net turns a photo into shape \(8, 4, 4\), not into one vector"
    ):
        measured_dim(Wrong(), "net", 8)


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, AssertionError])
def test_a_size_that_the_network_cannot_take(kind):
    with pytest.raises(
        ValueError, match=r"image_size: net can't take photos of 8 pixels \(first line\)\."
    ):
        measured_dim(Wrong(kind("first line\nsecond line")), "net", 8)


def test_a_bug_of_another_kind_is_not_hidden():
    with pytest.raises(KeyError, match="bug"):
        measured_dim(Wrong(KeyError("bug")), "net", 8)


def test_a_network_that_is_restored_is_hardly_drawn_and_not_measured():
    with restored(7):
        network = resnet18()
        assert torch.equal(network.bn1.weight, torch.ones(64))
        weights = network.fc.weight.detach().zero_()
        nn.init.kaiming_uniform_(weights)
        assert not weights.any()
        nn.init.xavier_uniform_(tensor=weights)
        assert 0 < len(weights.unique()) <= 4096
        for low, high in (
            (-2.0, 2.0),
            (0.1, 9.0),
            (3.0, 4.0),
        ):  # draws until all lie within, in two ways
            assert nn.init.trunc_normal_(weights, a=low, b=high).min() >= low
        assert measured_dim(Wrong(RuntimeError("asked")), "net", 8) == 7
    with restored(None), pytest.raises(ValueError, match="can't take photos of 8 pixels"):
        measured_dim(Wrong(RuntimeError("asked")), "net", 8)


def test_restoring_one_network_changes_nothing_elsewhere():
    def drawn() -> bool:
        return bool(nn.init.normal_(torch.zeros(3)).any())

    with restored(7), ThreadPoolExecutor(1) as pool:
        from torch.nn.init import (
            normal_,  # as a backbone's library may do, imported where it is first built
        )

        assert not normal_(torch.zeros(3)).any()
        assert pool.submit(drawn).result()
    assert normal_(torch.zeros(3)).any()
    assert drawn()
