from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, get_worker_info

from vsearch.data.decoding import in_threads
from vsearch.data.items import boxes
from vsearch.data.photos import Preprocessing, read_square
from vsearch.data.regions import Region

Sample = tuple[Tensor, int, int]
Batch = tuple[Tensor, Tensor, Tensor]
Index = int | tuple[int, int]


class PhotoDataset(Dataset[Sample]):
    """Photos of `items` as (square uint8 (3, S, S), label code, row of the item in the catalog).

    `Embedder.embed_photos` normalises them on the device, which copies a quarter of the bytes.
    Index with a position, or with (position, seed) to augment the photo with that seed. A
    DataLoader gets whole batches and needs `as_it_is` as its `collate_fn`. `region`: the part of
    each photo to take; None: all of it.
    """

    def __init__(
        self,
        items: pd.DataFrame,
        preprocessing: Preprocessing,
        augment: nn.Module | None = None,
        region: Region | None = None,
    ) -> None:
        self.paths = items["path"].tolist()
        self.boxes = boxes(items)
        self.labels = torch.tensor(items["label_code"].to_numpy())
        self.rows = torch.tensor(items.index.to_numpy())
        self.preprocessing = preprocessing
        self.augment = augment
        self.region = region

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Index) -> Sample:
        photos, labels, rows = self.__getitems__([index])
        return photos[0], int(labels[0]), int(rows[0])

    def __getitems__(self, indices: Sequence[Index]) -> Batch:
        """Return a batch: photos uint8 (B, 3, S, S), label codes int (B,), catalog rows int (B,).

        A thread per core decodes the photos; in a DataLoader's worker it is one thread, since there
        are other workers.
        """
        pairs = [index if isinstance(index, tuple) else (index, None) for index in indices]
        positions = [position for position, _ in pairs]
        decode = map if get_worker_info() else in_threads
        squares = [
            augmented(torch.from_numpy(square), self.augment, seed)
            for square, (_, seed) in zip(decode(self._square, positions), pairs, strict=True)
        ]
        return torch.stack(squares), self.labels[positions], self.rows[positions]

    def _square(self, position: int) -> np.ndarray:
        path = self.paths[position]
        return read_square(path, self.preprocessing, self.boxes[position], self.region)


def as_it_is(batch: Any) -> Any:
    """Return the batch unchanged: data sets here make whole batches."""
    return batch


def augmented(square: Tensor, augment: nn.Module | None, seed: int | None) -> Tensor:
    """Return a square, uint8 (3, S, S), augmented with the seed, if there is one.

    Not thread-safe: augmentation uses PyTorch's global generator, which is restored.
    """
    if augment is None or seed is None:
        return square
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone
        return augment(square)


def augmented_batch(photos: Tensor, augment: nn.Module, seed: Sequence[int]) -> Tensor:
    """Return photos, uint8 (B, 3, S, S), augmented together on their device with the seed.

    Args:
        photos: their device computes it.
        augment: takes and returns float (B, 3, S, S), 0..1; values outside are clipped.
        seed: whole numbers; generators are restored.
    """
    devices = [photos.device] if photos.is_cuda else []
    drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with (
        torch.random.fork_rng(devices),
        torch.autocast(photos.device.type, enabled=False),
        torch.no_grad(),
    ):
        torch.manual_seed(drawn)
        made = augment(photos.float() / 255)
    return (made.clamp(0, 1) * 255).round().to(torch.uint8)
