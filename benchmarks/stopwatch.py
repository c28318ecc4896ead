import json
import time
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer


class Stopwatch(Callback):
    """Print the median seconds from one training batch's end to the next, as `plain_script.py` does."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self.times = [time.perf_counter()]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the median, without the first batches, which wait for the workers."""
        print("\n" + json.dumps({"median_step_s": float(np.median(np.diff(self.times[3:])))}))
