from importlib import import_module

import pytest
import torch
from tiny import TinyBackbone


def test_frozen_layers_stay_in_eval_mode_whenever_train_is_called():
    backbone = TinyBackbone(frozen=True)
    for mode in (True, False, True):
        backbone.train(mode)
        assert not any(module.training for module in backbone.stem.modules())
        assert backbone.head[3].training == mode


def test_the_spec_builds_the_same_architecture_again():
    backbone = TinyBackbone(dim=5, size=20, frozen=True)
    spec = backbone.spec()
    assert spec == {
        "class_path": "tiny.TinyBackbone",
        "init_args": {"dim": 5, "size": 20, "frozen": True},
    }
    module, name = spec["class_path"].rsplit(".", 1)
    again = getattr(import_module(module), name)(**spec["init_args"])
    again.load_state_dict(backbone.state_dict())
    photos = torch.randn(2, 3, 20, 20)
    assert torch.equal(again.eval()(photos), backbone.eval()(photos))


def test_a_lost_constructor_argument_is_named():
    backbone = TinyBackbone()
    del backbone.frozen
    with pytest.raises(AttributeError, match=r"TinyBackbone must keep.*\['frozen'\]"):
        backbone.spec()


def test_stages_are_those_of_the_network_or_of_the_whole_backbone():
    backbone = TinyBackbone()
    assert backbone.stages == ["stem.0", "stem.1", "head.2", "head.3"]
    backbone.model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    assert backbone.stages == ["0", "1"]


def test_weights_are_never_in_the_spec():
    class Weighted(TinyBackbone):
        def __init__(self, weights: str = "somewhere") -> None:
            super().__init__()

    assert Weighted().spec()["init_args"] == {"weights": None}
