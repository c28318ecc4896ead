import time
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.epochs import EpochMetrics
from vsearch.bundle.writing import fingerprint_of, write_bundle
from vsearch.errors import BundleError, ConfigError
from vsearch.evaluation import calibration
from vsearch.evaluation.axes import Attributes, AxesScores, attributes, score_axes
from vsearch.evaluation.comparing.runs import CONFIG, QUERIES, query_table
from vsearch.evaluation.index_quality import quality
from vsearch.evaluation.naive_split import SplitCatalog, claims_of_a_naive_split
from vsearch.evaluation.reliability import measured
from vsearch.evaluation.scoring import (
    Embedded,
    Scores,
    exact_index,
    half,
    relevant,
    score,
    score_exactly,
    scored_hits,
    top_hits,
)
from vsearch.indexes.base import Index, IndexUnavailable
from vsearch.indexes.choice import BudgetError
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.exactness import is_exact
from vsearch.models.embedder import Embedder
from vsearch.reports.closing import show_closing
from vsearch.reports.files import log_to_tensorboard, report_files
from vsearch.reports.grid import example_grid
from vsearch.reports.html.base import Findings
from vsearch.reports.html.opened import read_config
from vsearch.reports.html.written import page_files
from vsearch.reports.index_tables import label_quality
from vsearch.reports.summary import axes_summary, data_facts, library_versions, protocol, summary
from vsearch.reports.tables import show
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.distributed.ranks import from_rank_zero
from vsearch.training.embedding_loop import embed_loader
from vsearch.training.module import MetricLearner

Baseline = (
    tuple[Scores, AxesScores] | tuple[None, None]
)  # the untrained network's, if it was measured


class BuildIndex(Callback):
    """After the fit: best checkpoint -> embed the gallery -> index -> search it with test photos ->
    bundle.

    It runs in `on_fit_end`, since ModelCheckpoint is done only then. By that time the model is back
    on the CPU and may no longer log: this callback moves the model, and writes to TensorBoard,
    itself. Of several ranks, rank zero does it alone, and the others end before it.

    Args:
        index: how the gallery is searched; None: as the run's top-level `index` says, exactly if it
            says nothing.
        baseline: also measure the same backbone before training, without a head; this embeds
            everything a second time.
        error_rate: how many photos whose best hit is right may be told "no good match" (see
            `Calibration`).
    """

    def __init__(
        self,
        index: Index | None = None,
        baseline: bool = True,
        error_rate: float = calibration.ERROR_RATE,
    ) -> None:
        calibration.check_rate(error_rate)
        self.error_rate = error_rate
        self.index = ExactIndex() if index is None else index  # an empty index is falsy
        self._own = index is not None
        self.baseline = baseline
        self._initial: dict[str, Tensor] = {}
        self._epochs_s: list[float] = []
        self._metrics = EpochMetrics()
        self._epoch_start: float | None = None

    def use_index(self, index: Index) -> None:
        """Take the run's index, unless the callback was given its own."""
        if not self._own:
            self.index = index

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the initial weights, before a checkpoint to resume from is loaded."""
        if stage != "fit":
            return
        self.folder = (
            Path(trainer.log_dir or trainer.default_root_dir) / "bundle"
        )  # asked of all ranks at once
        if from_rank_zero(trainer, self.folder.exists):
            raise BundleError(f"{self.folder} exists already: move it away, or start a new run.")
        if self.baseline and trainer.is_global_zero:
            weights = cast(MetricLearner, pl_module).backbone.state_dict()
            self._initial = {name: value.detach().clone() for name, value in weights.items()}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse an index that the gallery can't fill, before hours of training."""
        module, data = cast(MetricLearner, pl_module), cast(CatalogDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        try:
            self.index.check(len(data.gallery("test")), module.embedder.dim)
        except (ValueError, IndexUnavailable) as error:
            raise ConfigError("index", str(error)) from error

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed fit's report needs of the epochs before."""
        return {"epochs": self._metrics.rows()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._metrics.restore(state_dict["epochs"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what the epoch logged, and how long it took, validation included, unless it was cut
        short.
        """
        self._metrics.note(trainer)
        if self._epoch_start is None:  # a fit resumed within an epoch didn't start it
            return
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._epochs_s.append(time.perf_counter() - self._epoch_start)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what validation logged, before the epoch's checkpoint is written."""
        self._metrics.note(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the index of the best epoch, measure it, write the bundle."""
        if not trainer.is_global_zero:
            return
        checkpoint = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not checkpoint:
            rank_zero_warn(
                "BuildIndex: no ModelCheckpoint has kept an epoch, so there is no index and no "
                "bundle."
            )
            return
        module, data = cast(MetricLearner, pl_module), cast(CatalogDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        device = trainer.strategy.root_device
        with trainer.precision_plugin.forward_context():
            untrained = self._untrained(
                module, data, device
            )  # first: its gallery is gone before the other comes
            epoch = _restore(module, checkpoint)
            report, trained, found, vectors, calibrated = self._report(
                module, data, device, epoch, untrained
            )
        hits = found[1]
        picture = example_grid(hits, data)
        folder = self.folder
        manifest = {
            name: report[name] for name in ("protocol", "model", "index", "cost", "metrics")
        }
        items = data.gallery("test").drop(columns="label_code")
        asked = query_table(data.queries("test"), trained, *found)
        findings = Findings(
            report,
            pd.read_parquet(BytesIO(asked)),
            items,
            vectors,
            calibrated,
            read_config(folder.with_name(CONFIG)),
            fingerprint_of(module.embedder),
        )
        files = {
            **report_files(report, picture),
            **page_files(findings),
            QUERIES: asked,
            calibration.FILE: calibration.file_bytes(calibrated),
        }
        write_bundle(folder, module.embedder, self.index, items, manifest, files, vectors)
        log_to_tensorboard(trainer.loggers, report, picture)
        show(report)
        show_closing(report, folder)

    def _report(
        self,
        module: MetricLearner,
        data: CatalogDataModule,
        device: torch.device,
        epoch: int,
        untrained: Baseline,
    ) -> tuple[
        dict[str, Any], Scores, tuple[np.ndarray, np.ndarray], np.ndarray, calibration.Calibration
    ]:
        """Return the report, what each query got, its hits' scores and places, the gallery's
        vectors, calibration.
        """
        queries, gallery, photos_per_s = _embed_test(module.embedder, data, device, "best epoch")
        self.index.bind(fingerprint_of(module.embedder))
        tried, build_s = self._build(gallery)
        trained, found = (
            score(self.index, queries, gallery),
            scored_hits(self.index, queries, gallery),
        )
        calibrated, reliable = self._calibrated(module.embedder, data, device, queries, gallery)
        axes = score_axes(found[1], queries, gallery, _attributes(data))
        backbone = module.backbone
        described = {"class_path": backbone.spec()["class_path"], "dim": module.embedder.dim}
        weights = {"origin": backbone.origin, "wanted": backbone.wanted}
        exactly = None if is_exact(self.index) else score_exactly(queries, gallery)
        index = quality(self.index, queries.embeddings, gallery.embeddings, build_s) | tried
        report = {
            "protocol": protocol(data, trained),
            "model": {**described, **weights, "epoch": epoch, "libraries": library_versions()},
            "index": {**index, "labels": label_quality(trained, exactly)},
            "cost": self._cost(module, None if data.trunk_cache else photos_per_s, index["bytes"]),
            **summary(trained, untrained[0], data.label_names),
            **axes_summary(axes, untrained[1]),
            "calibration": reliable,
            "leakage": _leakage(data, trained, untrained[0]),
            "training": {"epochs": self._metrics.rows(), "chosen": epoch},
            "data": data_facts(data),
        }
        return report, trained, found, gallery.embeddings, calibrated

    def _calibrated(
        self,
        embedder: Embedder,
        data: CatalogDataModule,
        device: torch.device,
        queries: Embedded,
        gallery: Embedded,
    ) -> tuple[calibration.Calibration, dict[str, Any]]:
        """Calibrate on queries apart from those that it is measured on; return also what the report
        says of it.

        Val photos, where they search the gallery that the test photos search: so the threshold uses
        up no test photo. They chose the epoch, which makes them a little better than new photos;
        the measured rates show how much. Else half of the test photos, those that share a key on
        one side.
        """
        if _val_searches_the_same(data):
            held_out, _ = _embed(
                embedder, data, device, data.queries("val"), "val queries (to calibrate)"
            )
            rest, source = queries, "val photos"
        else:
            chosen = half(queries.keys, data.seed)
            held_out, rest = (
                queries.take(np.flatnonzero(chosen)),
                queries.take(np.flatnonzero(~chosen)),
            )
            source = "half of the test photos"
        calibrated = calibration.fit(*self._found(held_out, gallery), self.error_rate, source)
        return calibrated, {
            **calibrated.describe(),
            "measured": measured(calibrated, *self._found(rest, gallery)),
        }

    def _found(self, queries: Embedded, gallery: Embedded) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of the queries' best hits, and whether these are right."""
        if not len(queries):  # the other half of a single one
            return np.zeros((0, 1)), np.zeros((0, 1), dtype=bool)
        scores, hits = scored_hits(self.index, queries, gallery)
        return scores, relevant(hits, queries.labels, gallery.labels)

    def _untrained(
        self, module: MetricLearner, data: CatalogDataModule, device: torch.device
    ) -> Baseline:
        """Measure the backbone before training, and let go of its weights; the module is left with
        them.
        """
        if not self._initial:
            return None, None
        module.backbone.load_state_dict(self._initial)
        self._initial = {}
        queries, gallery, _ = _embed_test(
            Embedder(module.backbone), data, device, "before training"
        )
        exact = exact_index(gallery)
        hits = top_hits(exact, queries, gallery)
        return score(exact, queries, gallery), score_axes(hits, queries, gallery, _attributes(data))

    def _build(self, gallery: Embedded) -> tuple[dict[str, Any], float]:
        """Index the gallery; return what is known of a choice that failed, and the seconds it took.

        Where an AutoIndex finds nothing within its budgets, exact search is served: a trained model
        must not be lost.
        """
        start = time.perf_counter()
        try:
            self.index.build(gallery.embeddings)
        except BudgetError as error:
            rank_zero_warn(
                f"BuildIndex: {error}\n"
                "Exact search is served instead: loosen a budget for another index."
            )
            self.index = ExactIndex()
            self.index.build(gallery.embeddings)
            reason = f"Exact search, since {str(error).splitlines()[0].partition(' Nothing')[0]}"
            return {"why": reason, "frontier": error.frontier}, time.perf_counter() - start
        return {}, time.perf_counter() - start

    def _cost(
        self, module: MetricLearner, photos_per_s: float | None, index_bytes: int
    ) -> dict[str, float | None]:
        """Return what `compare` shows beside the metrics; a loss's own weights count as the
        network's do.

        With a trunk cache nothing is decoded: photos a second would say nothing of the catalog's
        next ones.
        """
        weights = list(module.parameters())
        return {
            "trained_parameters": sum(weight.numel() for weight in weights if weight.requires_grad),
            "parameters": sum(weight.numel() for weight in weights),
            "epoch_s": median(self._epochs_s)
            if self._epochs_s
            else None,  # none whole since a fit was resumed
            "embed_photos_per_s": photos_per_s,
            "bytes_per_vector": index_bytes / len(self.index),
        }


def _restore(module: LightningModule, checkpoint: str) -> int:
    """Put a checkpoint's weights into the module; return its epoch. The optimizer's state in it is
    never read.
    """
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    module.load_state_dict(saved["state_dict"])
    return int(saved["epoch"])


def _leakage(data: CatalogDataModule, trained: Scores, untrained: Scores | None) -> dict[str, Any]:
    """Return what a naive split would claim; nothing where queries don't search the train part."""
    if data.split.gallery != "train" or "is_gallery" in data.items:
        return {}
    queries = data.queries("test").index
    gallery = data.gallery("test").index
    catalog = SplitCatalog(data.items, data.content_hashes, queries, gallery)
    claims = claims_of_a_naive_split(catalog, trained, untrained)
    return {} if claims is None else asdict(claims)


def _attributes(data: CatalogDataModule) -> Attributes:
    return attributes(data.queries("test"), data.gallery("test"), data.axes)


def _val_searches_the_same(data: CatalogDataModule) -> bool:
    apart = data.part("val").index.intersection(data.part("test").index).empty
    return (
        apart
        and len(data.queries("val")) > 0
        and data.gallery("val").index.equals(data.gallery("test").index)
    )


def _embed_test(
    embedder: Embedder, data: CatalogDataModule, device: torch.device, when: str
) -> tuple[Embedded, Embedded, float]:
    """Return the test queries, the gallery, and how many of its photos were decoded and embedded a
    second.
    """
    queries, _ = _embed(embedder, data, device, data.queries("test"), f"queries ({when})")
    gallery, photos_per_s = _embed(
        embedder, data, device, data.gallery("test"), f"gallery ({when})"
    )
    return queries, gallery, photos_per_s


def _embed(
    embedder: Embedder,
    data: CatalogDataModule,
    device: torch.device,
    items: pd.DataFrame,
    what: str,
) -> tuple[Embedded, float]:
    """Return the items as vectors, and how many of their photos were decoded and embedded a second."""
    embedder.eval().to(device)
    start = time.perf_counter()
    made = embed_loader(embedder.from_batch, data.loader(items), device, f"Embedding {what}")
    seconds = time.perf_counter() - start
    embedder.cpu()
    embedded = Embedded(made.embeddings, made.labels, data.exclusion_keys()[made.rows])
    return embedded, len(made.rows) / seconds
