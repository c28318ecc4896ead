import time
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from vsearch import bundle
from vsearch.backbones.base import Backbone
from vsearch.datamodule import CatalogDataModule
from vsearch.evaluate import Embedded, Scores, embed, score, score_exactly
from vsearch.indexes.base import Index
from vsearch.indexes.flat import FlatIndex
from vsearch.latency import index_recall, latency
from vsearch.module import MetricLearner
from vsearch.reports.files import log_to_tensorboard, report_files
from vsearch.reports.grid import example_grid
from vsearch.reports.summary import library_versions, protocol, summary
from vsearch.reports.tables import show


class BuildIndex(Callback):
    """After the fit: best checkpoint -> embed the gallery -> index -> search it with test photos -> bundle.

    It runs in `on_fit_end`, since ModelCheckpoint is done only then. By that time the model is back on the CPU and may
    no longer log: this callback moves the model, and writes to TensorBoard, itself.

    Args:
        index: how the gallery is searched.
        baseline: also measure the same backbone before training; this embeds everything a second time.
    """

    def __init__(self, index: Index | None = None, baseline: bool = True) -> None:
        self.index = FlatIndex() if index is None else index  # an empty index is falsy
        self.baseline = baseline
        self._initial: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the initial weights, before a checkpoint to resume from is loaded."""
        if stage != "fit":
            return
        if _folder(trainer).exists():
            raise bundle.BundleError(f"{_folder(trainer)} exists already: move it away, or start a new run.")
        if self.baseline:
            self._initial = _copy(cast(MetricLearner, pl_module).backbone)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the index of the best epoch, measure it, write the bundle."""
        checkpoint = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not checkpoint:
            rank_zero_warn("BuildIndex: no ModelCheckpoint has kept an epoch, so there is no index and no bundle.")
            return
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        pl_module.load_state_dict(saved["state_dict"])
        module, data = cast(MetricLearner, pl_module), cast(CatalogDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        report, queries = self._report(module, data, trainer.strategy.root_device, saved["epoch"])
        picture = example_grid(self.index, queries, data)
        folder = _folder(trainer)
        manifest = {name: report[name] for name in ("protocol", "model", "index", "metrics")}
        items = data.gallery("test").drop(columns="label_code")
        bundle.write(folder, module.backbone, self.index, items, manifest, report_files(report, picture))
        log_to_tensorboard(trainer.loggers, report, picture)
        show(report)
        print(f"Bundle: {folder}\nNext: python -m vsearch search {folder} PHOTO -k 10")

    def _report(
        self, module: MetricLearner, data: CatalogDataModule, device: torch.device, epoch: int
    ) -> tuple[dict[str, Any], Embedded]:
        queries, gallery = _embed_test(module, data, device, "best epoch")
        start = time.perf_counter()
        self.index.build(gallery.embeddings)
        build_s = time.perf_counter() - start
        trained, untrained = score(self.index, queries, gallery), self._untrained(module, data, device)
        backbone = module.backbone
        described = {"class_path": backbone.spec()["class_path"], "dim": backbone.dim, "origin": backbone.origin}
        report = {
            "protocol": protocol(data, trained),
            "model": {**described, "epoch": epoch, "libraries": library_versions()},
            "index": self._measure(queries, gallery, build_s),
            **summary(trained, untrained, data.label_names),
        }
        return report, queries

    def _untrained(self, module: MetricLearner, data: CatalogDataModule, device: torch.device) -> Scores | None:
        if not self._initial:
            return None
        best = _copy(module.backbone)
        module.backbone.load_state_dict(self._initial)
        queries, gallery = _embed_test(module, data, device, "before training")
        module.backbone.load_state_dict(best)
        return score_exactly(queries, gallery)

    def _measure(self, queries: Embedded, gallery: Embedded, build_s: float) -> dict[str, Any]:
        return {
            "spec": self.index.spec,
            "bytes": len(self.index.to_bytes()),
            "build_s": build_s,
            "recall_at_10": index_recall(self.index, queries.embeddings, gallery.embeddings),
            "latency": latency(self.index, queries.embeddings),
        }


def _folder(trainer: Trainer) -> Path:
    return Path(trainer.log_dir or trainer.default_root_dir) / "bundle"


def _copy(backbone: Backbone) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in backbone.state_dict().items()}


def _embed_test(
    module: MetricLearner, data: CatalogDataModule, device: torch.device, when: str
) -> tuple[Embedded, Embedded]:
    module.eval().to(device)
    keys, sides = data.exclusion_keys(), []
    for name, items in (("queries", data.queries("test")), ("gallery", data.gallery("test"))):
        vectors, labels, rows = embed(module, data.loader(items), device, f"Embedding {name} ({when})")
        sides.append(Embedded(vectors, labels, keys[rows]))
    module.cpu()
    return sides[0], sides[1]
