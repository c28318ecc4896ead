import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.run_objects import catalog_data, metric_learner
from callbacks.tensorboard import writers


class LogClassMetrics(Callback):
    """Log to TensorBoard how well each label's val photos are found: `class/precision_at_1/LABEL`.

    Args:
        metrics: their names in the report.
        most: number of labels; those with the most val photos.
    """

    def __init__(self, metrics: list[str] = ["precision_at_1", "map_at_r"], most: int = 30) -> None:  # noqa: B006
        self.metrics = metrics
        self.most = most

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means; the module has made its scores by now."""
        seen = metric_learner(pl_module).validated
        if seen is None:
            return
        scores = seen.scores
        names = catalog_data(trainer).label_names
        labels, counts = np.unique(scores.labels, return_counts=True)
        for label in labels[np.argsort(-counts, kind="stable")][: self.most]:
            for metric in self.metrics:
                value = float(scores.model[metric][scores.labels == label].mean())
                for writer in writers(trainer.loggers):
                    writer.add_scalar(f"class/{metric}/{names[label]}", value, trainer.global_step)
