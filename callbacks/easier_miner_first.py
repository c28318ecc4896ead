from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from callbacks.run_objects import metric_learner


class EasierMinerFirst(Callback):
    """Mine the training batches of the first epochs with another miner than the model's.

    The hardest negatives can lead a young network to a bad local minimum (Schroff et al. 2015,
    "FaceNet", section 3.2). Validation uses the model's own miner throughout, so that `val/loss`
    stays comparable.

    Args:
        miner: mines the first epochs.
        epochs: how many, at least 1.
    """

    def __init__(self, miner: nn.Module, epochs: int) -> None:
        if epochs < 1:
            raise ValueError(f"epochs: it must be 1 or more, not {epochs}.")
        self.miner = miner
        self.epochs = epochs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the miner: a fit resumed within an epoch doesn't start that epoch again."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the miner of this epoch."""
        module = metric_learner(pl_module)
        is_early = trainer.current_epoch < self.epochs
        module.training_miner = self.miner.to(module.device) if is_early else None
