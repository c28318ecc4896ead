from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.writing import write_bundle
from vsearch.data.photos import Preprocessing
from vsearch.indexes.faiss import FaissIndex
from vsearch.models.backbones.base import Backbone
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime

HUES = {"red": (170, 80, 80), "green": (80, 170, 80), "blue": (80, 80, 170)}


class MeanColour(Backbone):
    """The photo's mean colour, seen from grey: what looks alike is of one colour."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.origin = 3, "random"
        self.preprocessing = Preprocessing(16, (0.4, 0.4, 0.4), (1.0, 1.0, 1.0))
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, photos: Tensor) -> Tensor:
        return photos.mean((2, 3)) * self.scale


def picture(seed: int, hue: tuple[int, int, int], size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A pattern of its own around a colour, which varies a little from seed to seed."""
    rng = np.random.default_rng(seed)
    grid = rng.normal(0, 25, (24, 24, 1)) + rng.uniform(-8, 8, 3) + hue
    return Image.fromarray(grid.clip(0, 255).astype(np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )


class Catalog:
    """A folder of photos and their table, built up by hand: 14 photos of each of three colours,
    nothing wrong.
    """

    def __init__(self, folder: Path, per_label: int = 14) -> None:
        self.folder, self.rows = folder, list[dict[str, str]]()
        folder.mkdir(parents=True)
        for number, (label, hue) in enumerate(HUES.items()):
            for photo in range(per_label):
                self.add(f"{label}-{photo}", label, picture(100 * number + photo, hue))

    def add(
        self,
        id: str,
        label: str,
        photo: Image.Image | bytes | None,
        suffix: str = "png",
        **options: int,
    ) -> str:
        """Add an item; bytes are written as they are, None writes no file. Returns the id."""
        path = self.folder / f"{len(self.rows)}.{suffix}"
        if isinstance(photo, bytes):
            path.write_bytes(photo)
        elif photo is not None:
            photo.save(path, **options)
        self.rows.append({"id": id, "label": label, "path": path.name})
        return id

    def copy(self, of: str, id: str, label: str | None = None, **options: int) -> str:
        """Add a copy of an item's photo: of the same pixels, or a JPEG of some `quality`."""
        item = next(row for row in self.rows if row["id"] == of)
        photo = Image.open(self.folder / item["path"])
        return self.add(id, label or item["label"], photo, "jpg" if options else "png", **options)

    @property
    def items(self) -> pd.DataFrame:
        """The table, with the photos' whole paths."""
        table = pd.DataFrame(self.rows)
        return table.assign(path=[str(self.folder / path) for path in table["path"]])

    def csv(self) -> Path:
        """Write the table."""
        pd.DataFrame(self.rows).to_csv(self.folder / "items.csv", index=False)
        return self.folder / "items.csv"

    def split(self, **parts: str) -> Path:
        """Write a split.csv of readable photos: all in train, but those that are named, with _ for
        -.
        """
        table = pd.DataFrame(self.rows)[["id", "label"]].drop_duplicates("id")
        table["split"] = [parts.get(id.replace("-", "_"), "train") for id in table["id"]]
        table.to_csv(self.folder / "split.csv", index=False)
        return self.folder / "split.csv"

    def bundle(self, kept: slice = slice(0)) -> Path:
        """Write a bundle of MeanColour with the embeddings of some items."""
        embedder, index = Embedder(MeanColour()).eval(), FaissIndex("Flat")
        items = self.items.iloc[kept if kept.stop else slice(3)]
        vectors = embed_photos(TorchRuntime(embedder), items).embeddings
        index.build(vectors)
        write_bundle(self.folder / "bundle", embedder, index, items, {}, {}, vectors)
        return self.folder / "bundle"
