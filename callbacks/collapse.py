from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from pytorch_metric_learning.losses import TripletMarginLoss

from callbacks.run_objects import metric_learner

ADVICE = "Lower the learning rate, warm up longer, or start with an easier miner."


class WarnOnCollapse(Callback):
    """Warn when a run is collapsing: embeddings drift to one point and the loss to its margin.

    Once all embeddings are equal, every triplet's loss is the margin (Hermans et al. 2017, "In
    Defense of the Triplet Loss for Person Re-Identification", section 4). Training from random
    weights passes through such a state: no warning while `val/precision_at_1` still rises.

    Args:
        min_spread: `train/embedding_spread` (0..1) below which the embeddings count as one point.
        tolerance: share of the margin by which a loss may differ from it and still count as stuck.
    """

    def __init__(self, min_spread: float = 0.05, tolerance: float = 0.02) -> None:
        self.min_spread = min_spread
        self.tolerance = tolerance
        self.best_precision = -1.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the epoch's means."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        loss = values.get("train/loss_epoch")
        spread = values.get("train/embedding_spread")
        precision = values.get("val/precision_at_1", self.best_precision)

        is_improving = precision > self.best_precision
        self.best_precision = max(precision, self.best_precision)
        if loss is None or spread is None or is_improving:
            return

        reason = self.reason(loss, _margin(metric_learner(pl_module).loss), spread)
        if reason:
            rank_zero_warn(f"Epoch {trainer.current_epoch}: {reason}")

    def reason(self, loss: float, margin: float | None, spread: float) -> str | None:
        """Return why an epoch without progress counts as collapsing, or None."""
        if spread < self.min_spread:
            return (
                f"the embeddings are collapsing to one point (spread {spread:.3f} < "
                f"{self.min_spread}). {ADVICE}"
            )
        if margin is not None and abs(loss - margin) <= self.tolerance * margin:
            return (
                f"the loss is stuck at the margin ({loss:.3f} of {margin}): no triplet is told "
                f"apart. {ADVICE}"
            )
        return None


def _margin(loss: object) -> float | None:
    """Return a triplet loss's margin; in other losses it may be an angle."""
    return float(loss.margin) if isinstance(loss, TripletMarginLoss) else None
