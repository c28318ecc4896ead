from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.run_objects import catalog_data
from callbacks.tensorboard import batch_photos, show_picture, writers
from vsearch.reports.grid import Shown, grid


class ShowBatches(Callback):
    """Show an epoch's first batch in TensorBoard as the network sees it, a row for each label.

    With a trunk cache the network gets no photos: then they are shown without augmentation.

    Args:
        every: show a batch every this many epochs.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Draw the batch."""
        if batch_idx or trainer.current_epoch % self.every or not writers(trainer.loggers):
            return
        data = catalog_data(trainer)
        labels = batch[1].tolist()
        rows: dict[int, list[Shown]] = {label: [] for label in sorted(set(labels))}
        for position, photo in enumerate(batch_photos(batch, [*range(len(labels))], data)):
            label = labels[position]
            rows[label].append(Shown(photo, data.label_names[label], None))
        show_picture(trainer.loggers, "train/batch", grid([*rows.values()]), trainer.global_step)
