import warnings
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from pytorch_metric_learning.losses import ArcFaceLoss
from test_module import data_of, learner, trainer
from torch import Tensor

from callbacks.gradual_unfreezing import GradualUnfreezing
from vsearch.training.module import MetricLearner

SCHEDULE = {"stem": 2}
pytestmark = pytest.mark.filterwarnings(
    "ignore:GradualUnfreezing freezes stages with random weights"
)


def state(module: MetricLearner, part: str) -> dict[str, Tensor]:
    """Copies of a part's weights and BatchNorm statistics."""
    part = module.backbone.get_submodule(part)
    return {name: value.detach().clone() for name, value in part.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(value.equal(other[name]) for name, value in one.items())


class Watch(Callback):
    """The stem's and the head's state at the end of each epoch."""

    def __init__(self) -> None:
        self.stem: list[dict[str, Tensor]] = []
        self.head: list[dict[str, Tensor]] = []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.stem.append(state(pl_module, "stem"))
        self.head.append(state(pl_module, "head"))


class SaveWithin(Callback):
    """A checkpoint after the first batch of the first epoch."""

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        if trainer.global_step == 1:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/within.ckpt")


def decaying(**arguments) -> MetricLearner:
    """A learner whose weight decay would show on any weight that the optimizer touches."""
    return learner(
        optimizer=lambda groups: torch.optim.AdamW(groups, 0.01, weight_decay=0.5), **arguments
    )


def fitted(colours, folder, epochs, module=None, schedule=SCHEDULE, checkpoint=None, callbacks=()):
    module, watch = module or decaying(), Watch()
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    run = trainer(folder, epochs, callbacks=[GradualUnfreezing(schedule), watch, *callbacks, last])
    run.fit(module, data_of(colours), ckpt_path=checkpoint)
    return module, watch


def test_a_stage_is_bit_identical_until_its_epoch_and_learns_from_then_on(colours, tmp_path):
    module = decaying()
    stem, head = state(module, "stem"), state(module, "head")
    for value in module.backbone.stem.parameters():
        value.grad = torch.ones_like(value)  # left over from elsewhere
    _, watch = fitted(colours, tmp_path, 3, module)
    assert [same(stem, found) for found in watch.stem] == [True, True, False]
    assert not same(head, watch.head[0])
    assert any("running_mean" in name for name in stem)
    moved = {name for name in stem if not stem[name].equal(watch.stem[2][name])}
    assert moved == set(stem)  # statistics of BatchNorm too


def test_a_resumed_run_goes_on_alike(colours, tmp_path):
    whole, watched = fitted(colours, tmp_path / "whole", 4)
    fitted(colours, tmp_path / "part", 1)
    resumed, watch = fitted(
        colours, tmp_path / "part", 4, checkpoint=tmp_path / "part" / "last.ckpt"
    )
    assert len(watch.stem) == 3
    assert all(same(*pair) for pair in zip(watch.stem, watched.stem[1:], strict=True))
    assert same(whole.state_dict(), resumed.state_dict())


def test_a_run_resumed_within_an_epoch_keeps_its_stages_frozen(colours, tmp_path):
    module = decaying()
    stem = state(module, "stem")
    fitted(colours, tmp_path, 1, module, callbacks=[SaveWithin()])
    _, watch = fitted(colours, tmp_path, 1, checkpoint=tmp_path / "within.ckpt")
    assert same(stem, watch.stem[0])


def test_stages_follow_one_another_and_of_nested_ones_the_later_epoch_counts(colours, tmp_path):
    schedule = {"stem": 1, "stem.1": 2, "head.2": 0}
    module = decaying()
    stem = state(module, "stem")
    _, watch = fitted(colours, tmp_path, 3, module, schedule)
    moved = [
        sorted({name[0] for name in stem if not stem[name].equal(found[name])})
        for found in watch.stem
    ]
    assert moved == [[], ["0"], ["0", "1"]]


def test_each_stage_has_its_own_learning_rate(colours, tmp_path):
    module = decaying(lr_factors={"stem": 0.5})
    fitted(colours, tmp_path, 1, module)
    groups = module.trainer.optimizers[0].param_groups
    rates = {id(value): group["lr"] for group in groups for value in group["params"]}
    assert {rates[id(value)] for value in module.backbone.stem.parameters()} == {0.005}
    assert {rates[id(value)] for value in module.backbone.head.parameters()} == {0.01}


def test_the_module_can_be_fitted_again(colours, tmp_path):
    module, _ = fitted(colours, tmp_path / "once", 1)
    assert all(value.requires_grad for value in module.parameters())
    _, watch = fitted(colours, tmp_path / "again", 3, module)
    assert same(watch.stem[0], watch.stem[1])
    assert not same(watch.stem[1], watch.stem[2])


def setup(callback: GradualUnfreezing, module: MetricLearner) -> None:
    callback.setup(SimpleNamespace(strategy=None), module, "fit")


@pytest.mark.parametrize(
    ("schedule", "frozen", "message"),
    [
        (
            {"stem": 1, "layer9": 2},
            False,
            "has no part 'layer9'. Its stages: stem.0, stem.1, head.2, head.3",
        ),
        ({"stem": 1}, True, "`freeze` freezes stem for the whole run"),
        ({"stem.1": 1}, True, "`freeze` freezes stem.1 for the whole run"),
        ({"all": 1}, False, "nothing is trained in epoch 0"),
    ],
)
def test_a_schedule_that_does_not_fit_the_model_is_refused(schedule, frozen, message):
    with pytest.raises(ValueError, match=message):
        setup(GradualUnfreezing(schedule), learner(backbone={"frozen": frozen}))


@pytest.mark.parametrize("schedule", [{}, {"stem": -1}])
def test_an_empty_schedule_or_one_before_the_start_is_refused(schedule):
    with pytest.raises(ValueError, match="an epoch from 0 on"):
        GradualUnfreezing(schedule)


def test_the_whole_backbone_may_wait_for_what_is_trained_beside_it():
    setup(
        GradualUnfreezing({"all": 1}),
        learner(ArcFaceLoss(num_classes=4, embedding_size=8), miner=False),
    )


@pytest.mark.parametrize(
    ("origin", "schedule", "warned"),
    [("random", {"stem": 1}, 1), ("random", {"stem": 0}, 0), ("a file", SCHEDULE, 0)],
)
def test_random_weights_held_still_are_warned_about(origin, schedule, warned):
    module = learner()
    module.backbone.origin = origin
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        setup(GradualUnfreezing(schedule), module)
    assert len([entry for entry in caught if "makes little sense" in str(entry.message)]) == warned
