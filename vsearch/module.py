from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import Tensor, nn

from vsearch.backbones.base import Backbone
from vsearch.diagnostics import active_share, geometry
from vsearch.evaluate import Embedded, score_exactly
from vsearch.metrics import means
from vsearch.sampling import PKBatches

Batch = tuple[Tensor, Tensor, Tensor]  # photos (B, 3, S, S), label codes (B,), catalog rows (B,)


class MetricLearner(LightningModule):
    """Learn embeddings in which photos of one label lie together.

    Args:
        backbone: photos to features.
        loss: takes (embeddings, labels, mined indices), as pytorch-metric-learning's losses do. Its own weights, if
            it has any, are trained and checkpointed.
        miner: picks pairs or triplets from (embeddings, labels); null leaves that to the loss.
        optimizer: called with the trainable parameters.
        warmup_steps: batches over which the learning rate rises linearly to the optimizer's own; 0 for none.
        lr_scheduler: called with the optimizer; stepped every epoch.
    """

    def __init__(
        self,
        backbone: Backbone,
        loss: nn.Module,
        miner: nn.Module | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        warmup_steps: int = 0,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.loss, self.miner = backbone, loss, miner
        self.optimizer, self.warmup_steps, self.lr_scheduler = optimizer, warmup_steps, lr_scheduler
        self._seen: list[tuple[np.ndarray, ...]] = []

    def forward(self, photos: Tensor) -> Tensor:
        """Return embeddings, float (B, dim), L2-normalised, of normalised photos, float (B, 3, H, W)."""
        return nn.functional.normalize(self.backbone(photos).float(), dim=1)  # bfloat16 is too coarse for unit length

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer over all that is not frozen, with its warm-up per batch and its schedule per epoch."""
        optimizer = self.optimizer([parameter for parameter in self.parameters() if parameter.requires_grad])
        schedules: list[dict[str, Any]] = []
        if self.warmup_steps > 0:
            warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=self.warmup_steps)
            schedules.append({"scheduler": warmup, "interval": "step"})
        if self.lr_scheduler is not None:
            scheduler = self.lr_scheduler(optimizer)
            monitor = getattr(scheduler, "monitor", None)  # of Lightning's ReduceLROnPlateau
            schedules.append({"scheduler": scheduler, "interval": "epoch", "monitor": monitor})
        return [optimizer], schedules  # type: ignore[return-value]

    def on_train_epoch_start(self) -> None:
        """Put what is trained in training mode: Lightning leaves modes as it finds them."""
        self.train()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mine the batch and return its loss."""
        photos, labels, _ = batch
        embeddings = self(photos)
        with torch.autocast(embeddings.device.type, enabled=False):  # distances of near vectors need float32
            mined = self.miner(embeddings, labels) if self.miner else None
            loss = self.loss(embeddings, labels, mined)
            values = geometry(embeddings.detach(), labels)
            if mined is not None and len(mined) == 3 and isinstance(self.loss, TripletMarginLoss):
                values["active_triplets"] = active_share(embeddings.detach(), mined, cast(float, self.loss.margin))
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True, batch_size=len(labels))
        self.log_dict({f"train/{name}": value for name, value in values.items()}, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the embeddings of one val batch."""
        photos, labels, rows = batch
        self._seen.append((self(photos).float().cpu().numpy(), labels.cpu().numpy(), rows.cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        """Log `val/loss` over fixed PK batches and how well val photos find each other."""
        embeddings, labels, rows = map(np.concatenate, zip(*self._seen, strict=True))
        self._seen.clear()
        if not 1 < len(np.unique(labels)) < len(labels):
            rank_zero_warn("These few val photos can't be scored: that takes 2 labels, and 2 photos of one of them.")
            return
        self.log("val/loss", self._validation_loss(embeddings, labels), prog_bar=True)
        val = Embedded(embeddings, labels, self.trainer.datamodule.exclusion_keys()[rows])  # type: ignore[attr-defined]
        scores = score_exactly(val, val)
        self._log_means(
            "val", means(scores.model, scores.labels), ("precision_at_1", "cmc_at_10", "map_at_r", "r_precision")
        )

    def _validation_loss(self, embeddings: np.ndarray, labels: np.ndarray) -> float:
        """Return the mean loss over fixed PK batches of the val part, put together from one embedding of it."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        vectors, codes = torch.from_numpy(embeddings).to(self.device), torch.from_numpy(labels).to(self.device)
        losses = []
        for batch in PKBatches(labels, data.p, data.k, data.seed):
            chosen = [position for position, _ in batch]
            mined = self.miner(vectors[chosen], codes[chosen]) if self.miner else None
            losses.append(float(self.loss(vectors[chosen], codes[chosen], mined)))
        return float(np.mean(losses))

    def _log_means(self, stage: str, values: dict[str, dict[str, float]], names: Iterable[str]) -> None:
        for name in names:
            self.log(f"{stage}/{name}", values[name]["micro"], prog_bar=name == "precision_at_1")
            self.log(f"{stage}/{name}_macro", values[name]["macro"])

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep the embeddings of one batch of queries (loader 0) or of the gallery (loader 1)."""
        photos, labels, rows = batch
        side = np.full(len(labels), dataloader_idx)
        self._seen.append((self(photos).float().cpu().numpy(), labels.cpu().numpy(), rows.cpu().numpy(), side))

    def on_test_epoch_end(self) -> None:
        """Log how well test queries find items of their label in the gallery, by exact search."""
        embeddings, labels, rows, side = map(np.concatenate, zip(*self._seen, strict=True))
        self._seen.clear()
        keys = self.trainer.datamodule.exclusion_keys()[rows]  # type: ignore[attr-defined]
        items = Embedded(embeddings, labels, keys)
        scores = score_exactly(items.take(np.flatnonzero(side == 0)), items.take(np.flatnonzero(side == 1)))
        self._log_means("test", means(scores.model, scores.labels), scores.model)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Return the catalog rows (B,) and embeddings, float32 (B, dim), of one batch."""
        photos, _, rows = batch
        return rows, self(photos).float()
