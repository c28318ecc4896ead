"""Short fits, in a folder of their own, by one process or as one of several ranks:
JOBS[name](folder, ranks).
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from pytorch_metric_learning.losses import (
    ContrastiveLoss,
    CrossBatchMemory,
    ProxyAnchorLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from tiny import ChainBackbone, ColourCatalog, TinyBackbone
from torch import Tensor, nn
from torchvision.transforms import v2

from callbacks.build_index import BuildIndex
from callbacks.embeddings import WriteEmbeddings
from callbacks.gradual_unfreezing import GradualUnfreezing
from vsearch.data.splits import StratifiedSplit
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.distributed.ranks import RankZeroError
from vsearch.training.losses.axes import AxisLoss
from vsearch.training.module import MetricLearner
from vsearch.training.trunk.cache import TrunkCache

P, K = 4, 4  # of all ranks together
LOSSES: dict[str, Callable[[], tuple[nn.Module, nn.Module | None]]] = {
    "triplet": lambda: (TripletMarginLoss(0.3, reducer=MeanReducer()), BatchHardMiner()),
    "memory": lambda: (
        CrossBatchMemory(ContrastiveLoss(), 8, memory_size=20),
        None,
    ),  # no multiple of a batch
    "proxies": lambda: (ProxyAnchorLoss(4, 8), None),
}
LOSSES["axes"] = LOSSES["triplet"]
ROWS = np.arange(80)
AXES: dict[str, Any] = {
    "axis_losses": {"shelf": AxisLoss(), "rare": AxisLoss(weight=0.5)},
    "axis_codes": {
        "shelf": ROWS % 3,
        "rare": np.where(ROWS % 20 < 2, ROWS % 2, -1),  # in few batches, or of one rank alone
    },
}


class PlainBackbone(TinyBackbone):
    """Without BatchNorm, whose statistics are of a rank's own photos unless `sync_batchnorm` is
    set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 8))


class FewReds(ColourCatalog):
    """A label with too few photos for K: ranks' batches differ in size."""

    def read(self) -> pd.DataFrame:
        items = super().read()
        few = (items["label"] == "red") & (items["id"].str.split("-").str[1].astype(int) >= 5)
        return items[~few].reset_index(drop=True)


class Recorder(Callback):
    """Notes each batch's rows, each step's gradient, and what each validation logged."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.gradients: list[Tensor] = []
        self.values: list[dict[str, float]] = []

    def on_train_batch_start(
        self, trainer: Trainer, module: MetricLearner, batch: Any, number: int
    ) -> None:
        self.rows.append(batch[2].tolist())

    def on_before_optimizer_step(
        self, trainer: Trainer, module: MetricLearner, optimizer: Any
    ) -> None:
        self.gradients.append(
            torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
        )

    def on_train_epoch_end(self, trainer: Trainer, module: MetricLearner) -> None:
        self.values.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class KilledAt(Callback):
    """Ends its process as `kill -9` does, within the second epoch."""

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1 and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Failing(MetricLearner):
    """Can't be scored."""

    def _validate(self, *_: Any) -> dict[str, float]:
        raise ArithmeticError("no score")


def learner(
    kind: str = "triplet", backbone: nn.Module | None = None, made: type = MetricLearner
) -> MetricLearner:
    seed_everything(0, verbose=False)
    loss, miner = LOSSES[kind]()
    chosen = PlainBackbone() if backbone is None else backbone
    return made(
        chosen,
        loss,
        miner,
        optimizer=lambda parameters: torch.optim.SGD(parameters, 0.3),
        **(AXES if kind == "axes" else {}),
    )


def data_of(
    folder: Path, world: int, catalog: type[ColourCatalog] = ColourCatalog, **settings: Any
) -> Any:
    made = catalog(str(folder.parent / "colours"))
    settings = {
        "classes_per_batch": P // world,
        "photos_per_class": K,
        "eval_batch_size": 3,
        "augment": [v2.RandomHorizontalFlip()],
        **settings,
    }
    return CatalogDataModule(made, StratifiedSplit(0.6, 0.2, 0.2), **settings)


def trainer(
    folder: Path, world: int, *callbacks: Callback, epochs: int = 2, **settings: Any
) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_epochs=epochs,
        default_root_dir=folder,
        callbacks=[
            ModelCheckpoint(folder / "checkpoints", "best", monitor="val/map_at_r", mode="max"),
            ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False),
            *callbacks,
        ],
        **{
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        | {"use_distributed_sampler": False, "log_every_n_steps": 1}
        | settings,
    )


def weights(module: MetricLearner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def fitted(
    folder: Path, world: int, kind: str = "triplet", catalog: type[ColourCatalog] = ColourCatalog
) -> Any:
    """Fit for two epochs and note everything."""
    seen, module = Recorder(), learner(kind)
    trainer(folder, world, seen).fit(module, data_of(folder, world, catalog))
    return {
        "rows": seen.rows,
        "gradients": seen.gradients,
        "values": seen.values,
        "weights": weights(module),
    }


def indexed(folder: Path, world: int, *callbacks: Callback, start: Path | None = None) -> Any:
    """Fit for three epochs with BuildIndex; from a checkpoint, if there is one."""
    module, data = learner(), data_of(folder, world)
    build = BuildIndex(export=start is None)  # once is enough
    trainer(folder, world, build, *callbacks, epochs=3).fit(module, data, ckpt_path=start)
    return {
        "weights": torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    }


def resumed(folder: Path, world: int) -> Any:
    """Go on where `killed` was killed."""
    return indexed(
        folder.with_name("killed"),
        world,
        start=folder.with_name("killed") / "checkpoints" / "last.ckpt",
    )


def scored(folder: Path, world: int) -> Any:
    """Score and predict with the best weights of `indexed`, which ran before."""
    run, checkpoint = (
        trainer(folder, world, WriteEmbeddings()),
        folder.with_name("indexed") / "checkpoints" / "best.ckpt",
    )
    values: dict[str, Any] = {}
    for command in (run.validate, run.test):
        command(
            learner(),
            data_of(folder, world, classes_per_batch=2),
            ckpt_path=checkpoint,
            verbose=False,
        )
        values |= {name: float(value) for name, value in run.callback_metrics.items()}
    run.predict(learner(), data_of(folder, world), ckpt_path=checkpoint, return_predictions=False)
    return values


def failed(folder: Path, world: int) -> Any:
    """Fail on rank zero alone, in validation."""
    try:
        trainer(folder, world).fit(learner(made=Failing), data_of(folder, world))
    except (ArithmeticError, RankZeroError) as error:
        return repr(error)


def wrapped(folder: Path, world: int) -> Any:
    """Leave Lightning's default, which would wrap the sampler."""
    try:
        trainer(folder, world, use_distributed_sampler=True).fit(learner(), data_of(folder, world))
    except TypeError as error:
        return str(error)


def cached(folder: Path, world: int) -> Any:
    """Fit from a cache of the frozen stages."""
    data = data_of(folder, world, trunk_cache=TrunkCache(folder=str(folder / "cache")))
    module = learner(backbone=ChainBackbone())
    trainer(folder, world).fit(module, data)
    return {"weights": weights(module)}


def unfrozen(folder: Path, world: int) -> Any:
    """Train a stage from the second epoch on."""
    module, seen = learner(), Recorder()
    trainer(folder, world, GradualUnfreezing({"stem": 1}), seen).fit(module, data_of(folder, world))
    return {
        "rows": seen.rows,
        "gradients": seen.gradients,
        "values": seen.values,
        "weights": weights(module),
    }


def killed(folder: Path, world: int) -> Any:
    """Be killed."""
    indexed(folder, world, KilledAt())


JOBS = {name: lambda folder, world, name=name: fitted(folder, world, name) for name in LOSSES} | {
    "uneven": lambda folder, world: fitted(folder, world, catalog=FewReds),
    **{
        job.__name__: job
        for job in (indexed, resumed, scored, failed, wrapped, cached, unfrozen, killed)
    },
}
