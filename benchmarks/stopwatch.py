import json
import time

from lightning.pytorch import Callback, LightningModule, Trainer


class Stopwatch(Callback):
    """Print a JSON line with the seconds of each epoch, validation included, as the plain scripts
    do.

    The first begins with the fit, so that it has what is prepared once.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the time, and start again."""
        now = time.perf_counter()
        print(
            "\n" + json.dumps({"epoch": trainer.current_epoch, "seconds": now - self.start}),
            flush=True,
        )
        self.start = now
