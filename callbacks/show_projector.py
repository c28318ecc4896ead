import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from callbacks.tensorboard import writers
from vsearch.bundle.generations.live import open_live
from vsearch.data.decoding import in_threads
from vsearch.data.items import boxes
from vsearch.data.photos import Box, PhotoError, Preprocessing, read_square
from vsearch.data.stratified import stratified
from vsearch.errors import BundleError
from vsearch.reports.alone import fails_alone

SPRITE = 8192  # pixels a side of the picture with all thumbnails; browsers can't show larger ones
LARGEST = 64  # pixels a side of a thumbnail
SMALLEST = 16


class ShowProjector(Callback):
    """After the fit, show items of the bundle in TensorBoard's embedding projector.

    List it after BuildIndex, whose bundle it reads. The items are drawn at random: each label gets
    its share, at least one. All thumbnails fit into the largest picture that browsers can show.

    Args:
        most: items; up to 262,144, but browsers are slow with more than some thousands.
        seed: of the draw.
    """

    def __init__(self, most: int = 1000, seed: int = 0) -> None:
        if not 1 <= most <= (SPRITE // SMALLEST) ** 2:
            raise ValueError(f"most: it must be 1 to {(SPRITE // SMALLEST) ** 2:,}, not {most}.")
        self.most = most
        self.seed = seed

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the run's folder; all ranks must ask for it at once."""
        self.folder = Path(trainer.log_dir or trainer.default_root_dir) / "bundle"

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the bundle and write the projector's files."""
        with fails_alone("the embedding projector"):
            self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        boards = writers(trainer.loggers) if trainer.is_global_zero else []
        if not boards:
            return
        try:
            live = open_live(self.folder)
            labels = live.items["label"].to_numpy()
            chosen = np.sort(stratified(labels, self.most, 1, self.seed))
            vectors = live.index.vectors(chosen)
        except (BundleError, ValueError) as error:
            rank_zero_warn(f"ShowProjector: no embeddings to show: {error}")
            return
        items = live.items.to_pandas().iloc[chosen]
        texts = [[_line(item["label"]), _line(item["id"])] for _, item in items.iterrows()]
        pictures = thumbnails(items)
        for board in boards:
            board.add_embedding(
                torch.from_numpy(vectors),
                texts,
                pictures,
                tag="item",
                metadata_header=["label", "id"],
            )
            board.flush()


def thumbnails(items: pd.DataFrame) -> Tensor:
    """Return the photos, float (n, 3, s, s), 0..1, small enough for a sprite; or grey."""
    side = min(LARGEST, SPRITE // math.ceil(math.sqrt(len(items))))
    square = Preprocessing(side, (0, 0, 0), (1, 1, 1))

    def thumbnail(source: tuple[str, Box | None]) -> Tensor:
        try:
            return torch.from_numpy(read_square(source[0], square, source[1]))
        except PhotoError:
            return torch.full((3, side, side), 128, dtype=torch.uint8)

    sources = zip(items["path"], boxes(items), strict=True)
    return torch.stack([*in_threads(thumbnail, sources)]) / 255


def _line(text: object) -> str:
    """Return a text that fits into one cell of the projector's table."""
    return " ".join(str(text).split()) or "-"
