import json
from functools import partial

import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import LpDistance
from tiny import TinyBackbone

from vsearch.data.catalogs.base import CatalogError
from vsearch.data.splits import SplitError
from vsearch.errors import ConfigError
from vsearch.models.freezing import find
from vsearch.training.checks.component_errors import (
    inner_components,
    make_naming,
    naming,
    refusal,
    refused,
)
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.module import MetricLearner


class Part:
    def __init__(self, size: int = 1) -> None:
        if size < 0:
            raise ValueError("size: it must be 0 or more")
        if size > 9:
            raise KeyError("a bug")


def raised(call) -> Exception:
    with pytest.raises(Exception) as found:  # noqa: PT011 (whatever it is)
        call()
    return found.value


@pytest.mark.parametrize(
    ("key", "words", "line"),
    [
        ("model.miner", "size: too small", "model.miner.init_args.size: too small"),
        ("model", "size: too small", "model.size: too small"),
        ("model.miner", "sizes: too small", "model.miner: Part: sizes: too small"),
        (
            "model.miner",
            "Part has no `size=3` of\nthat kind",
            "model.miner.init_args.size: Part has no `size=3` of that kind",
        ),
        ("trainer", "`Part(size=0)` is not valid", "trainer.size: `Part(size=0)` is not valid"),
        ("model.miner", "see `size: 3`", "model.miner: Part: see `size: 3`"),
        ("data", "`data.seed` is bad", "data.seed: is bad"),
        ("model.miner", "Part is bad", "model.miner: Part is bad"),
    ],
)
def test_a_parts_own_setting_joins_the_key(key, words, line):
    assert str(refusal(key, Part, ValueError(words))) == line


def test_an_error_without_words_shows_the_line_that_failed():
    def bare() -> None:
        raise AssertionError

    def missing() -> None:
        raise KeyError(3)

    line = str(refusal("model.miner", Part, raised(bare)))
    assert line.startswith(
        "model.miner: Part: AssertionError at `raise AssertionError` (test_component_errors.py"
    )
    assert "KeyError 3 at `raise KeyError(3)`" in str(refusal("model.miner", Part, raised(missing)))
    assert str(refusal("model.miner", Part, ValueError())) == "model.miner: Part: ValueError"


def test_the_line_of_a_plugins_file_is_told():
    calls = [lambda: [][1], lambda: json.loads("{"), lambda: torch.ones(2) @ torch.ones(3)]
    for call in calls:
        place = f" (test_component_errors.py, line {call.__code__.co_firstlineno})"
        assert str(refusal("model.loss", Part, raised(call))).endswith(place)


def test_the_lines_of_vsearchs_and_librarys_files_are_not_told():
    error = raised(partial(find, torch.nn.Linear(1, 1), ["layer9"]))
    while error.__traceback__.tb_frame.f_code.co_filename.endswith(
        "test_component_errors.py"
    ):  # as if called elsewhere
        error.__traceback__ = error.__traceback__.tb_next
    assert error.__traceback__ is not None
    assert "test_component_errors.py, line" not in str(refusal("model.loss", Part, error))


def settings() -> Namespace:
    part = {"class_path": "here.Part", "init_args": {"size": -2}}
    other = {"class_path": "here.Part", "init_args": {"size": -1}}
    return Namespace(
        model=Namespace(loss=Namespace(class_path="a.Loss", init_args=Namespace(inner=part))),
        trainer=Namespace(
            callbacks=[Namespace(class_path="b.Stop", init_args=Namespace(part=other)), part]
        ),
    )


def test_what_a_part_refuses_is_named_by_its_place_in_the_configuration():
    make = make_naming(settings(), told := [])
    assert isinstance(make(Part, size=3), Part)
    assert (
        str(raised(lambda: make(Part, size=-2)))
        == "model.loss.init_args.inner.init_args.size: it must be 0 or more"
    )
    line = str(raised(lambda: make(Part, size=-1)))
    assert line == "trainer.callbacks[Stop].init_args.part.init_args.size: it must be 0 or more"
    assert str(raised(lambda: make(Part, size=-7))).startswith(f"{__name__}.Part.init_args.size: ")
    assert type(raised(lambda: make(Part, size=10))) is KeyError  # a bug
    assert len(told) == 3


# as jsonargparse's, where several types are tried
def test_a_refusal_is_found_in_the_words_of_another_error():
    make = make_naming(settings(), told := [])

    def several_types(words: str) -> None:
        with naming(told):
            raised(lambda: make(Part, size=-2))
            raise ValueError(words)

    assert raised(lambda: several_types("no")) is not told[0]
    assert raised(lambda: several_types(f"no\n- {told[0]}\n- nor this")) is told[0]


def test_a_plain_exception_is_a_refusal_too():  # pytorch-metric-learning raises such
    make = make_naming(Namespace(model={"loss": {"class_path": "x.CrossBatchMemory"}}), [])
    wrong = partial(make, losses.CrossBatchMemory, loss=losses.ArcFaceLoss(2, 3), embedding_size=3)
    assert str(raised(wrong)) == "model.loss: CrossBatchMemory not supported for ArcFaceLoss"


class Refuses(Callback):
    def setup(self, trainer, pl_module, stage):
        raise ValueError("not\nnow")


class Inherits(Refuses):
    pass


class FailsLater(Callback):
    def on_fit_start(self, trainer, pl_module):
        raise ValueError("later")


def fit(callback: Callback) -> None:
    trainer = Trainer(
        accelerator="cpu", callbacks=callback, logger=False, enable_checkpointing=False, max_steps=1
    )
    with naming():
        trainer.fit(BoringModel())


def test_a_callbacks_setup_is_named_an_inherited_one_too():
    error = raised(lambda: fit(Inherits()))
    assert str(error).startswith(
        "trainer.callbacks[Inherits]: Inherits: not now (test_component_errors.py, line "
    )
    assert type(error) is ConfigError
    assert type(raised(lambda: fit(FailsLater()))) is ValueError


def test_settings_of_model_data_and_trainer_are_named(colours):
    def make(kind, **arguments) -> None:
        with naming():
            kind(**arguments)

    def line(*arguments, **more) -> str:
        return str(raised(partial(make, *arguments, **more)))

    assert line(Trainer, accelerator="abacus").startswith(
        "trainer.accelerator: You selected an invalid accelerator"
    )
    assert line(Trainer, accelerator="cpu", devices=0).startswith("trainer.devices: ")
    assert line(CatalogDataModule, catalog=colours, classes_per_batch=1).startswith(
        "data.classes_per_batch: is 1: set it to 2 or more"
    )
    loss = losses.TripletMarginLoss()
    wrong = line(MetricLearner, backbone=TinyBackbone(), loss=loss, lr_factors={"layer9": 1})
    assert wrong.startswith("model.lr_factors: TinyBackbone has no part 'layer9'")


def test_a_refusal_is_found_behind_what_was_raised_from_it():
    def wrapped(cause: Exception) -> ConfigError | None:
        error = ValueError(
            "Call to compute_fn of link '_labels(data) --> model.loss' with args () failed"
        )
        error.__cause__ = cause
        return refused(error)

    class OwnError(CatalogError):
        pass

    assert str(wrapped(SplitError("too few photos"))) == "data.split: too few photos"
    assert str(wrapped(SplitError("`data.axes`: none"))) == "data.axes: none"
    assert str(wrapped(OwnError("no\nphotos"))) == "data.catalog: no photos"
    assert str(wrapped(ConfigError("model.loss", "bad"))) == "model.loss: bad"
    assert wrapped(KeyError("a bug")) is None


def test_inner_components_have_their_keys():
    loss = losses.CrossBatchMemory(losses.ContrastiveLoss(distance=LpDistance(power=2)), 8)
    found = dict(inner_components(loss, "model.loss"))
    assert found["model.loss"] is loss
    assert found["model.loss.init_args.loss.init_args.distance"].power == 2
