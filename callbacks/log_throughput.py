import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class LogThroughput(Callback):
    """Log `train/photos_per_s` of each epoch, of all devices, without validation.

    The time of other callbacks after a batch counts; work still queued on a GPU doesn't.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: a fit resumed within an epoch doesn't start that epoch again."""
        self.photos = 0
        self.seconds = 0.0
        self.start = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        self.photos += len(batch[1])
        self.seconds = time.perf_counter() - self.start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's value."""
        if self.photos:
            pl_module.log(
                "train/photos_per_s", self.photos / self.seconds, sync_dist=True, reduce_fx="sum"
            )
