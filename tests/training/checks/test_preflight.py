import inspect
import random

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from pytorch_metric_learning import losses, miners
from tiny import TinyBackbone
from torch import nn

from vsearch.data.views import Flip, View
from vsearch.errors import ConfigError
from vsearch.models.heads.base import Head
from vsearch.training.checks.preflight import check, check_devices
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.module import MetricLearner
from vsearch.training.samplers.random import RandomPlan


def checked(
    colours,
    loss=None,
    miner=None,
    backbone=None,
    callbacks=(),
    k=2,
    sampler=None,
    devices=1,
    wrap=False,
    sync=False,
    views=None,
    **model,
) -> MetricLearner:
    module = MetricLearner(
        backbone or TinyBackbone(), loss or losses.TripletMarginLoss(0.3), miner, **model
    )
    data = CatalogDataModule(
        colours, classes_per_batch=4, photos_per_class=k, sampler=sampler, eval_views=views
    )
    several = {"devices": devices, "use_distributed_sampler": wrap, "sync_batchnorm": sync}
    trainer = Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        **several,
    )
    check_devices(trainer, wrap, sync)
    check(module, data, trainer)
    return module


def refused(colours, key: str, words: str, **arguments) -> None:
    with pytest.raises(ConfigError) as raised:
        checked(colours, **arguments)
    line = str(raised.value)
    assert line.startswith(f"{key}: ")
    assert words in line
    assert "\n" not in line


def plain_losses() -> list[str]:
    """pytorch-metric-learning's losses that need no more than embeddings and labels."""
    special = {"BaseMetricLossFunction", "GenericPairLoss", "VICRegLoss", "CrossBatchMemory"}
    return [
        name
        for name, kind in vars(losses).items()
        if inspect.isclass(kind)
        and issubclass(kind, losses.BaseMetricLossFunction)
        and name not in special
    ]


SIZES = {"num_classes": 4, "embedding_size": 8, "descriptors_dim": 8, "margin": 0.4, "Tn": 10.0}
ELSEWHERE = {"ManifoldLoss", "HistogramLoss"}  # knows no labels; wants one of two settings


@pytest.mark.parametrize("name", [name for name in plain_losses() if name not in ELSEWHERE])
def test_what_pytorch_metric_learning_can_do_is_not_refused(name, colours):
    kind = getattr(losses, name)
    needed = [
        one.name for one in inspect.signature(kind).parameters.values() if one.default is one.empty
    ]
    needed += (
        ["num_classes", "embedding_size"] if issubclass(kind, losses.LargeMarginSoftmaxLoss) else []
    )
    checked(colours, kind(**{one: SIZES[one] for one in needed if one in SIZES}))


@pytest.mark.parametrize(
    "miner",
    [
        miners.BatchHardMiner(),
        miners.TripletMarginMiner(0.3, "semihard"),
        miners.MultiSimilarityMiner(),
        miners.DistanceWeightedMiner(),
        miners.PairMarginMiner(),
        miners.AngularMiner(),
    ],
    ids=lambda miner: type(miner).__name__,
)
def test_miners_go_with_the_triplet_loss_and_a_memory(miner, colours):
    checked(colours, miner=miner)
    checked(
        colours, losses.CrossBatchMemory(losses.ContrastiveLoss(), 8, memory_size=64, miner=miner)
    )


def test_nothing_changes(colours):
    backbone = TinyBackbone(frozen=True).train()
    memory = losses.CrossBatchMemory(losses.ContrastiveLoss(), 8, memory_size=64)
    before = {
        name: value.clone()
        for name, value in [*backbone.state_dict().items(), *memory.state_dict().items()]
    }
    modes = [part.training for part in backbone.modules()]
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(3)
    module = checked(colours, memory, miners.DistanceWeightedMiner(), backbone)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    after = dict([*backbone.state_dict().items(), *memory.state_dict().items()])
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert [part.training for part in backbone.modules()] == modes
    assert memory.queue_idx == 0
    assert all(value.grad is None for value in module.parameters())


def test_several_devices_share_batches_by_themselves(colours):
    checked(colours, devices=2)
    refused(
        colours,
        "trainer.use_distributed_sampler",
        "true, but the devices already share",
        devices=2,
        wrap=True,
    )
    refused(colours, "trainer.sync_batchnorm", "needs GPUs", devices=2, sync=True)


def test_a_memory_must_hold_the_batch_of_all_devices(colours):
    def memory(size: int) -> losses.CrossBatchMemory:
        return losses.CrossBatchMemory(losses.ContrastiveLoss(), 8, memory_size=size)

    checked(colours, memory(16), devices=2)
    refused(
        colours,
        "model.loss.init_args.memory_size",
        "2 devices x P x K = 16",
        loss=memory(15),
        devices=2,
    )


def test_a_callbacks_miner_is_tried_too(colours):
    class Lends(Callback):
        miner = losses.TripletMarginLoss()

    refused(
        colours, "trainer.callbacks[Lends].init_args.miner", "is it a miner?", callbacks=[Lends()]
    )


def test_k_of_1_is_refused_where_nothing_is_learned_of_it(colours):
    refused(colours, "data.photos_per_class", "K = 1", k=1)
    checked(colours, losses.ArcFaceLoss(4, 8), k=1)
    checked(colours, k=1, sampler=RandomPlan())


@pytest.mark.parametrize("read", [False, True])
def test_labels_are_of_the_catalogs_if_it_is_read(read, colours):
    data = CatalogDataModule(colours, classes_per_batch=9, photos_per_class=2, sampler=RandomPlan())
    module = MetricLearner(TinyBackbone(), losses.ArcFaceLoss(4, 8))
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    if read:
        data.read()
        check(module, data, trainer)
    else:
        with pytest.raises(ConfigError, match=r"^model\.loss: ArcFaceLoss: "):
            check(module, data, trainer)


def test_a_memory_must_hold_a_batch(colours):
    memory = losses.CrossBatchMemory(losses.ContrastiveLoss(), 8, memory_size=7)
    refused(
        colours,
        "model.loss.init_args.memory_size",
        "7 is too small for a batch of P x K = 8",
        loss=memory,
    )
    checked(colours, losses.CrossBatchMemory(losses.ContrastiveLoss(), 8, memory_size=8))


@pytest.mark.parametrize(
    ("miner", "logs"), [(miners.BatchHardMiner(), True), (miners.MultiSimilarityMiner(), False)]
)
def test_a_metric_of_the_batch_can_be_looked_at_where_it_is_logged(miner, logs, colours):
    stops = [EarlyStopping("train/active_triplets")]
    if logs:
        checked(colours, miner=miner, callbacks=stops)
    else:
        refused(
            colours,
            "trainer.callbacks[EarlyStopping].init_args.monitor",
            "nothing logs",
            miner=miner,
            callbacks=stops,
        )
    checked(colours, miner=miner, callbacks=[EarlyStopping("train/positive_distance_l2sq")])


class WrongDim(Head):
    def __init__(self, dim: int = 5) -> None:
        super().__init__()
        self.dim = dim

    def attach(self, features: int) -> None:
        self.layer = nn.Linear(features, 7)

    def forward(self, features):
        return self.layer(features)


def test_embeddings_must_have_their_dim(colours):
    refused(colours, "model.head", "(2, 7), not (2, 5)", head=WrongDim())
    wrong = TinyBackbone()
    wrong.head[1] = nn.Identity()
    refused(colours, "model.backbone", "TinyBackbone: ", backbone=wrong)


class Forgetful(TinyBackbone):
    def __init__(self, depth: int = 3) -> None:
        super().__init__()


class Unplain(WrongDim):
    def __init__(self, shape: object = torch.ones(1)) -> None:
        super().__init__(7)
        self.shape = shape


def test_backbone_and_head_must_be_such_as_a_bundle_can_hold(colours):
    refused(
        colours,
        "model.backbone",
        "Forgetful must keep its constructor arguments ['depth']",
        backbone=Forgetful(),
    )
    refused(colours, "model.head", "Tensor can't be described", head=Unplain())
    without = TinyBackbone()
    del without.origin
    refused(
        colours, "model.backbone", "TinyBackbone must set origin: see Backbone", backbone=without
    )


def test_something_must_be_left_to_train(colours):
    frozen = TinyBackbone()
    frozen.requires_grad_(False)
    refused(colours, "model.backbone", "nothing is left to train", backbone=frozen)
    checked(colours, losses.ArcFaceLoss(4, 8), backbone=frozen)


class Noise(View):
    def __call__(self, squares):
        return np.random.randint(0, 256, squares.shape).astype(np.uint8)


def test_a_random_view_is_refused(colours):
    refused(colours, "data.eval_views", "Noise gives a different result", views=[Flip(), Noise()])
