import json
import platform
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import faiss
import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor

from vsearch import bundle
from vsearch.datamodule import CatalogDataModule, boxes
from vsearch.evaluate import Embedded, Scores, embed, score
from vsearch.images import open_photo
from vsearch.indexes.base import Index
from vsearch.indexes.flat import FlatIndex
from vsearch.latency import index_recall, latency
from vsearch.module import MetricLearner
from vsearch.reports.grid import Shown, grid
from vsearch.reports.summary import summary
from vsearch.reports.tables import markdown, show


class BuildIndex(Callback):
    """After the fit: best checkpoint -> embed the gallery -> index -> search it with test photos -> bundle.

    It runs in `on_fit_end`: Lightning's ModelCheckpoint is done only then. By that time the model is back on the CPU
    and may no longer log, so this callback moves the model and writes to TensorBoard itself.

    Args:
        index: how the gallery is searched.
        baseline: also measure the same backbone before training (embeds everything a second time).
    """

    def __init__(self, index: Index | None = None, baseline: bool = True) -> None:
        self.index, self.baseline = index or FlatIndex(), baseline
        self._initial: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the initial weights, before a checkpoint to resume from is loaded."""
        if stage == "fit" and self.baseline:
            self._initial = {name: value.detach().clone() for name, value in pl_module.backbone.state_dict().items()}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build, measure and write the bundle."""
        checkpoint = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if not checkpoint or not trainer.is_global_zero:
            return
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        pl_module.load_state_dict(saved["state_dict"])
        data = trainer.datamodule  # type: ignore[attr-defined]
        queries, gallery, embed_s = _embed_test(pl_module, data, trainer.strategy.root_device, "best epoch")
        start = time.perf_counter()
        self.index.build(gallery.embeddings)
        build_s = time.perf_counter() - start
        scores = score(self.index, queries, gallery)
        report = {
            "protocol": _protocol(data, scores, gallery, len(queries)),
            "model": _model(pl_module, saved["epoch"]),
            "index": {
                "spec": self.index.spec,
                "bytes": len(self.index.to_bytes()),
                "build_s": build_s,
                "embed_s": embed_s,
                "recall_at_10": index_recall(self.index, queries.embeddings, gallery.embeddings),
                "latency": latency(self.index, queries.embeddings),
            },
            **summary(scores, self._untrained(pl_module, trainer), _label_names(data)),
        }
        picture = _picture(self.index, queries, data)
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "bundle"
        _write(folder, pl_module, self.index, data, report, picture)
        _log(trainer, report, picture)
        show(report)
        print(f"Bundle: {folder}\nSearch it: python -m vsearch search {folder} PHOTO -k 10")

    def _untrained(self, module: MetricLearner, trainer: Trainer) -> Scores | None:
        if not self._initial:
            return None
        best = {name: value.detach().clone() for name, value in module.backbone.state_dict().items()}
        module.backbone.load_state_dict(self._initial)
        device = trainer.strategy.root_device
        queries, gallery, _ = _embed_test(module, trainer.datamodule, device, "before training")  # type: ignore[attr-defined]
        module.backbone.load_state_dict(best)
        index = FlatIndex()
        index.build(gallery.embeddings)
        return score(index, queries, gallery)


def _embed_test(
    module: MetricLearner, data: CatalogDataModule, device: torch.device, title: str
) -> tuple[Embedded, Embedded, float]:
    module.eval().to(device)
    keys, sides = data.exclusion_keys(), []
    start = time.perf_counter()
    for name, items in (("queries", data.queries("test")), ("gallery", data.gallery("test"))):
        vectors, labels, rows = embed(module, data.loader(items), device, f"Embedding {name} ({title})")
        sides.append(Embedded(vectors, labels, keys[rows]))
    module.cpu()
    return sides[0], sides[1], time.perf_counter() - start
