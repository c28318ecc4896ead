from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from torch import Tensor, from_numpy, nn

from vsearch.data.catalogs.base import Catalog
from vsearch.data.photos import Box, Preprocessing, read_square
from vsearch.models.backbones.base import Backbone
from vsearch.models.normalising import normalise

COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 160, 30),
    "blue": (30, 30, 200),
    "grey": (120, 120, 120),
}


def load(
    source: str | Path | bytes, preprocessing: Preprocessing, box: Box | None = None
) -> Tensor:
    """A photo as the network's input, float32 (3, S, S)."""
    return normalise(from_numpy(read_square(source, preprocessing, box)), preprocessing)


class ColourCatalog(Catalog):
    """Squares of four colours on white: one glance tells the label. Drawn into a test's folder."""

    def __init__(self, folder: str, per_label: int = 20, size: int = 16) -> None:
        self.folder, self.per_label, self.size = Path(folder), per_label, size

    def prepare(self) -> None:
        if self.folder.exists():
            return
        rng = np.random.default_rng(0)
        self.folder.mkdir(parents=True)
        for label, colour in COLOURS.items():
            for number in range(self.per_label):
                photo = Image.new("RGB", (self.size, self.size), (255, 255, 255))
                left, top = rng.integers(0, self.size // 2, 2).tolist()
                ImageDraw.Draw(photo).rectangle(
                    (left, top, left + self.size // 2, top + self.size // 2), fill=colour
                )
                photo.save(self.folder / f"{label}-{number}.png")

    def read(self) -> pd.DataFrame:
        names = [f"{label}-{number}" for label in COLOURS for number in range(self.per_label)]
        table = pd.DataFrame(
            {"id": names, "path": [str(self.folder / f"{name}.png") for name in names]}
        )
        return table.assign(
            label=table["id"].str.split("-").str[0], shelf=[i % 3 for i in range(len(table))]
        )


class TinyBackbone(Backbone):
    """Two layers with BatchNorm, of which the first can be frozen: enough for every test that
    trains.
    """

    def __init__(self, dim: int = 8, size: int = 16, frozen: bool = False) -> None:
        super().__init__()
        self.size, self.frozen = size, frozen
        self.dim, self.origin = dim, "random"
        self.preprocessing = Preprocessing(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, dim), nn.BatchNorm1d(dim)
        )
        self.stem.requires_grad_(not frozen)

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.stem(photos))


class AveragingBackbone(TinyBackbone):
    """The same stem, then the average over all places: its scores can be explained."""

    def __init__(self, dim: int = 8, size: int = 16, frozen: bool = False) -> None:
        super().__init__(dim, size, frozen)
        self.widen = nn.Conv2d(8, dim, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def feature_map(self, photos: Tensor) -> Tensor:
        return self.widen(self.stem(photos))

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.feature_map(photos))


class ChainBackbone(Backbone):
    """A chain of layers, of which those named in `freeze` are frozen: it can be cut."""

    def __init__(self, dim: int = 8, size: int = 16, freeze: list[str] = ["stem"]) -> None:  # noqa: B006
        super().__init__()
        self.size, self.dim, self.origin, self.freeze = size, dim, "random", freeze
        self.preprocessing = Preprocessing(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.model = nn.Sequential()
        self.model.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8))
        self.model.relu = nn.ReLU()
        self.model.body = nn.Sequential(nn.Conv2d(8, dim, 3, padding=1), nn.BatchNorm2d(dim))
        self.model.pool = nn.AdaptiveAvgPool2d(1)
        for name in freeze:
            self.model.get_submodule(name).requires_grad_(False)

    def forward(self, photos: Tensor) -> Tensor:
        return self.model(photos).flatten(1)
