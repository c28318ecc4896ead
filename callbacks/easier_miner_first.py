from typing import cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from vsearch.training.module import MetricLearner


class EasierMinerFirst(Callback):
    """Mine the training batches of the first epochs with another miner; the model's own takes over
    after them.

    The hardest negatives can lead a young network to a bad local minimum (Schroff et al. 2015,
    "FaceNet", section 3.2). Validation uses the model's own miner throughout, so that `val/loss`
    stays comparable. The epoch alone decides: a resumed run goes on alike.

    Args:
        miner: mines the first epochs.
        epochs: how many, from 1 on.
    """

    def __init__(self, miner: nn.Module, epochs: int) -> None:
        if epochs < 1:
            raise ValueError(f"epochs: it must be 1 or more, not {epochs}.")
        self.miner, self.epochs = miner, epochs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the miner: a fit resumed within an epoch doesn't start that epoch again."""
        self._choose(trainer.current_epoch, cast(MetricLearner, pl_module))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the miner of this epoch."""
        self._choose(trainer.current_epoch, cast(MetricLearner, pl_module))

    def _choose(self, epoch: int, module: MetricLearner) -> None:
        module.training_miner = self.miner.to(module.device) if epoch < self.epochs else None
