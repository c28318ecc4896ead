import logging
import warnings
from collections.abc import Sequence

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import Dataset

from vsearch.bundle.bulk.photos import Photos, Source, decode, embed
from vsearch.bundle.bulk.writer import Writer
from vsearch.data.items import boxes
from vsearch.data.photos import Preprocessing
from vsearch.models.runtimes.base import Runtime
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.training.loaders import loader, workers

Batch = tuple[list[int], list[Source]]


def run(
    runtime: Runtime,
    preprocessing: Preprocessing,
    items: pd.DataFrame,
    writer: Writer,
    batch_size: int,
) -> None:
    """Embed items with Lightning's Trainer, on a GPU if there is one and PyTorch computes.

    The index of `items` has the catalog's rows; `writer` takes the embeddings.
    """
    rows = items.index.tolist()
    sources = [*zip(items["path"], boxes(items), strict=True)]
    batches = []
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        batches.append((rows[part], sources[part]))
    on_gpu = torch.cuda.is_available() and isinstance(runtime, TorchRuntime)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[_Interrupt()],
    )
    with warnings.catch_warnings():
        # If the CPU computes, threads decode.
        warnings.filterwarnings("ignore", ".*does not have many workers")
        warnings.filterwarnings("ignore", ".*LeafSpec")  # Lightning 2.6 with a newer PyTorch
        trainer.predict(
            _Embedding(runtime, writer),
            loader(_Decoded(batches, preprocessing), workers() if on_gpu else 0, batch_size=None),
            return_predictions=False,
        )


class _Decoded(Dataset[Photos]):
    def __init__(self, batches: Sequence[Batch], preprocessing: Preprocessing) -> None:
        self.batches = batches
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Photos:
        return decode(*self.batches[number], self.preprocessing)


class _Embedding(LightningModule):
    def __init__(self, runtime: Runtime, writer: Writer) -> None:
        super().__init__()
        self.runtime = runtime
        self.writer = writer
        if isinstance(runtime, TorchRuntime):
            self.network = runtime.network  # so that the Trainer moves it

    def predict_step(self, photos: Photos) -> int:
        self.writer.add(photos.rows, embed(self.runtime, photos), photos.hashes, photos.errors)
        return len(photos.rows)


class _Interrupt(Callback):
    """Passes Ctrl-C on; the Trainer would exit silently."""

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, KeyboardInterrupt):
            raise exception
