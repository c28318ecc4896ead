from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pytorch_metric_learning.losses import CrossBatchMemory, TripletMarginLoss
from torch import Tensor, nn

from vsearch.errors import Failed
from vsearch.evaluation.metrics import means
from vsearch.evaluation.scoring import Embedded, Scores, score_exactly
from vsearch.models.backbones.base import Backbone
from vsearch.models.embedder import Embedder
from vsearch.models.heads.base import Head
from vsearch.training.batch_diagnostics import active_share, geometry
from vsearch.training.dataset import Batch
from vsearch.training.distributed.gather import joint
from vsearch.training.distributed.ranks import gather_at_rank_zero, make_at_rank_zero
from vsearch.training.losses.axes import AxisLoss, AxisLosses
from vsearch.training.parameter_groups import parameter_groups, scale_rates
from vsearch.training.samplers.batches import EpochBatches
from vsearch.training.samplers.pk import PKPlan
from vsearch.training.validation_protocol import ValidationProtocol

IN_PROGRESS_BAR = ("val/loss", "val/precision_at_1", "test/precision_at_1")
VAL_METRICS = ("precision_at_1", "cmc_at_10", "map_at_r", "r_precision")


@dataclass(frozen=True)
class Validated:
    """Photos and scores of the last validation.

    Attributes:
        queries: the val photos that search, at `query_rows` of the catalog, int (q,).
        gallery: the photos that they search, at `gallery_rows`, int (n,).
        scores: how well the queries found photos of their label.
    """

    queries: Embedded
    query_rows: np.ndarray
    gallery: Embedded
    gallery_rows: np.ndarray
    scores: Scores


class DivergedError(Failed, RuntimeError):
    """Embeddings are no longer finite."""


class MetricLearner(LightningModule):
    """Learns embeddings in which photos of one label are close together.

    Args:
        backbone: turns photos into features.
        loss: takes (embeddings, labels, mined indices), as pytorch-metric-learning's losses do. Its
            own weights, if any, are trained and saved in checkpoints.
        miner: picks pairs or triplets from (embeddings, labels); null leaves that to the loss.
        head: layers between features and embedding; null for none.
        optimizer: called with groups of trainable parameters.
        warmup_steps: batches over which the learning rate rises linearly to the optimizer's own; 0
            for none.
        lr_scheduler: called with the optimizer; stepped every epoch.
        lr_factors: learning rates of parts as multiples of the optimizer's: `loss` (its own
            weights, and those of the axes' losses), `head`, or a part of the backbone by the name
            that `freeze` takes (`layer3`).
        axis_losses: metadata columns to train on as well, each with a loss and a weight. The logged
            `loss` and the validation loss are those of the label alone.
        axis_codes: the values of these columns, see `CatalogDataModule.axis_codes`; filled in from
            the catalog.

    Attributes:
        training_miner: if set, mines training batches instead of `miner`; validation always uses
            `miner`, so that `val/loss` stays comparable.
        embeddings, mined: embeddings of the last training batch, float32 (B, dim), and its mined
            indices, for callbacks. With several ranks, B counts the photos of all, rank by rank.
        validated: the last validation, for callbacks, on rank zero; None before it, or if too few
            photos could be scored.
        tested: how well the queries of the last test found photos of their label; on rank zero.
        protocol: which photos search which in validation; the datamodule sets it in its `setup`.
        takes_maps: whether batches hold maps of a trunk cache, not photos; the datamodule sets it.
    """

    embeddings: Tensor
    mined: tuple[Tensor, ...] | None = None
    validated: Validated | None = None
    tested: Scores | None = None
    protocol: ValidationProtocol
    takes_maps: bool = False

    def __init__(
        self,
        backbone: Backbone,
        loss: nn.Module,
        miner: nn.Module | None = None,
        head: Head | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        warmup_steps: int = 0,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_factors: dict[str, float] | None = None,
        axis_losses: dict[str, AxisLoss] | None = None,
        axis_codes: dict[str, np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps: it must be 0 or more, not {warmup_steps}.")
        self.embedder = Embedder(backbone, head)
        self.loss = loss
        self.axis_losses = AxisLosses(axis_losses or {}, axis_codes or {}, self.embedder.dim)
        self.miner = miner
        self.training_miner: nn.Module | None = None
        self.optimizer = optimizer
        self.warmup_steps = warmup_steps
        self.lr_scheduler = lr_scheduler
        self.lr_factors = lr_factors or {}
        # A wrong name must fail now, not after the catalog is read.
        parameter_groups(self.embedder, self.losses, self.lr_factors)
        self._embedded: list[tuple[np.ndarray, ...]] = []

    @property
    def backbone(self) -> Backbone:
        """The embedder's backbone."""
        return self.embedder.backbone

    @property
    def losses(self) -> nn.ModuleList:
        """The label's loss and those of the axes."""
        return nn.ModuleList([self.loss, self.axis_losses])

    def forward(self, photos: Tensor) -> Tensor:
        """Return unit vectors, float32 (B, dim), of photos (see `Embedder.embed_photos`)."""
        return self.embedder.embed_photos(photos)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, its warm-up per batch and its schedule per epoch."""
        groups = parameter_groups(self.embedder, self.losses, self.lr_factors)
        optimizer = self.optimizer(groups)
        scale_rates(optimizer)
        schedules: list[dict[str, Any]] = []
        if self.warmup_steps > 0:
            warmup = torch.optim.lr_scheduler.LinearLR(
                optimizer, 0.01, total_iters=self.warmup_steps
            )
            schedules.append({"scheduler": warmup, "interval": "step"})
        if self.lr_scheduler is not None:
            scheduler = self.lr_scheduler(optimizer)
            monitor = getattr(scheduler, "monitor", None)  # of Lightning's ReduceLROnPlateau
            schedules.append({"scheduler": scheduler, "interval": "epoch", "monitor": monitor})
        return [optimizer], schedules  # type: ignore[return-value]

    def on_fit_start(self) -> None:
        """Make trained layers compute in the quickest way, before the optimizer is made."""
        self.embedder.use_products()

    def on_train_start(self) -> None:
        """Set the modes: a fit resumed inside an epoch doesn't start that epoch again."""
        self.train()

    def on_train_epoch_start(self) -> None:
        """Put trained parts in training mode: Lightning doesn't change modes."""
        self.train()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mine the joint batch of all ranks, and return its loss."""
        inputs, labels, rows = batch
        embeddings = joint(self._embed(inputs))
        labels = joint(labels)

        # Distances of near vectors need float32.
        with torch.autocast(embeddings.device.type, enabled=False):
            miner = self.training_miner or self.miner
            mined = miner(embeddings, labels) if miner else None
            loss = self.loss(embeddings, labels, mined)
            axis_losses = self.axis_losses(embeddings, joint(rows))
            self.embeddings = embeddings.detach()
            self.mined = mined
            diagnostics = self.diagnose(self.embeddings, labels, mined)

        every_rank: Any = {"on_epoch": True, "batch_size": len(labels), "sync_dist": True}
        self.log("train/loss", loss, on_step=True, prog_bar=True, **every_rank)
        self.log_dict(diagnostics, on_step=False, **every_rank)
        for axis, value in axis_losses.items():
            self.log(f"train/loss_{axis}", value, on_step=False, **every_rank)
            loss = loss + self.axis_losses.weights[axis] * value
        return loss

    def diagnose(
        self, embeddings: Tensor, labels: Tensor, mined: tuple[Tensor, ...] | None
    ) -> dict[str, Tensor]:
        """Return the values to log for a training batch, except those without any pairs."""
        values = geometry(embeddings, labels)
        if mined is not None and len(mined) == 3 and isinstance(self.loss, TripletMarginLoss):
            values["active_triplets"] = active_share(embeddings, mined, self.loss)

        # Waits for the GPU once, not once for each value.
        finite = torch.stack([*values.values()]).isfinite().tolist()
        return {
            f"train/{name}": value
            for (name, value), is_finite in zip(values.items(), finite, strict=True)
            if is_finite
        }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the embeddings of one val batch, without views."""
        self._embedded.append(_as_arrays(self._embed(batch[0]), *batch[1:]))

    def on_validation_epoch_end(self) -> None:
        """Log `val/loss` over fixed PK batches, and how well val photos find each other."""
        self._log_on_all_ranks(self._validate)

    def _validate(
        self, embeddings: np.ndarray, labels: np.ndarray, rows: np.ndarray
    ) -> dict[str, float]:
        if not np.isfinite(embeddings).all():
            raise DivergedError(
                f"Training diverged in epoch {self.current_epoch}: embeddings are no longer "
                "finite. Lower `model.optimizer.init_args.lr`, or raise `model.warmup_steps`."
            )
        protocol = self.protocol
        searches = np.isin(rows, protocol.queries)
        is_searched = np.isin(rows, protocol.gallery)
        if not is_searched.any():  # the queries search the train part: here, each other
            is_searched[:] = True

        has_pairs = 1 < len(np.unique(labels)) < len(labels)
        fills_batch = len(labels) >= 2 * protocol.photos_per_class
        has_answers = np.isin(labels[searches], labels[is_searched]).any()
        if not (has_pairs and fills_batch and has_answers):
            rank_zero_warn(
                "There are too few val photos to score: 2 labels with K photos each are needed."
            )
            return {}

        photos = Embedded(embeddings, labels, protocol.exclusion_keys[rows])
        queries = photos.take(np.flatnonzero(searches))
        gallery = photos.take(np.flatnonzero(is_searched))
        scores = score_exactly(queries, gallery)
        self.validated = Validated(queries, rows[searches], gallery, rows[is_searched], scores)
        loss = self._validation_loss(embeddings, labels)
        return {"val/loss": loss, **_means("val", scores, VAL_METRICS)}

    def _validation_loss(self, embeddings: np.ndarray, labels: np.ndarray) -> float:
        loss = self.loss
        miner = self.miner
        if isinstance(loss, CrossBatchMemory):  # it would store val photos, and train on them
            miner = loss.miner
            loss = loss.loss

        protocol = self.protocol
        batches = EpochBatches(
            PKPlan(),
            labels,
            protocol.classes_per_batch,
            protocol.photos_per_class,
            protocol.seed,
        )
        vectors = torch.from_numpy(embeddings).to(self.device)
        codes = torch.from_numpy(labels).to(self.device)
        losses = []
        for batch in batches:
            chosen = [position for position, _ in batch]
            mined = miner(vectors[chosen], codes[chosen]) if miner else None
            losses.append(float(loss(vectors[chosen], codes[chosen], mined)))
        return float(np.mean(losses))

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep the embeddings of one batch of queries (loader 0) or of the gallery (loader 1)."""
        photos, labels, rows = batch
        loader = np.full(len(labels), dataloader_idx)
        embeddings = self.embedder.embed_views(photos)
        self._embedded.append((*_as_arrays(embeddings, labels, rows), loader))

    def on_test_epoch_end(self) -> None:
        """Log how well test queries find items of their label in the gallery, by exact search."""
        self._log_on_all_ranks(self._test)

    def _test(
        self, embeddings: np.ndarray, labels: np.ndarray, rows: np.ndarray, loader: np.ndarray
    ) -> dict[str, float]:
        photos = Embedded(embeddings, labels, self.protocol.exclusion_keys[rows])
        queries = photos.take(np.flatnonzero(loader == 0))
        gallery = photos.take(np.flatnonzero(loader == 1))
        self.tested = score_exactly(queries, gallery)
        return _means("test", self.tested, self.tested.model)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Return the catalog rows (B,) and embeddings, float32 (B, dim), of one batch."""
        photos, _, rows = batch
        return rows, self.embedder.embed_views(photos)

    def _embed(self, inputs: Tensor) -> Tensor:
        """Return the embeddings of photos or maps, whichever the loaders return."""
        if self.takes_maps:
            return self.embedder.embed_maps(inputs)
        return self(inputs)

    def _log_on_all_ranks(self, score: Callable[..., dict[str, float]]) -> None:
        """Score the embeddings of all ranks on rank zero, and log its values on all ranks."""
        gathered = gather_at_rank_zero(self.trainer, self._embedded)
        self._embedded.clear()
        for name, value in make_at_rank_zero(self.trainer, lambda: score(*gathered)).items():
            self.log(name, value, prog_bar=name in IN_PROGRESS_BAR, sync_dist=True)


def _as_arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.cpu().numpy() for tensor in tensors)


def _means(stage: str, scores: Scores, names: Iterable[str]) -> dict[str, float]:
    """Return the metrics' means over queries, and (`_macro`) over labels, by the names to log."""
    values = means(scores.model, scores.labels)
    logged = {}
    for name in names:
        logged[f"{stage}/{name}"] = values[name]["micro"]
        logged[f"{stage}/{name}_macro"] = values[name]["macro"]
    return logged
