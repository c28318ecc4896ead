from typing import cast

from lightning.pytorch import LightningModule, Trainer

from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.module import MetricLearner


def metric_learner(module: LightningModule) -> MetricLearner:
    """Return the module that a hook is given, by its own type."""
    return cast(MetricLearner, module)


def catalog_data(trainer: Trainer) -> CatalogDataModule:
    """Return the trainer's datamodule; Lightning's types don't know that it has one."""
    return cast(CatalogDataModule, trainer.datamodule)  # type: ignore[attr-defined]
