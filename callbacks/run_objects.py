from typing import cast

from lightning.pytorch import LightningModule, Trainer

from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.module import MetricLearner


def metric_learner(module: LightningModule) -> MetricLearner:
    """Return a hook's module with its own type."""
    return cast(MetricLearner, module)


def catalog_data(trainer: Trainer) -> CatalogDataModule:
    """Return the trainer's datamodule, which Lightning's types don't include."""
    return cast(CatalogDataModule, trainer.datamodule)  # type: ignore[attr-defined]
