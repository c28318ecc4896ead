from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from vsearch.data.items import boxes
from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.cut import Cut
from vsearch.training.dataset import Batch, Index
from vsearch.training.trunk.fill import Maker, Source, fill
from vsearch.training.trunk.store import Store
from vsearch.training.trunk.views import PLAIN, description, trunk_key, view_keys


@dataclass(frozen=True)
class TrunkCache:
    """How a fit caches the output of the frozen stages for each photo.

    Attributes:
        views: number of augmented versions of each training photo to make and draw from, 1 or more.
        folder: where they are kept, for all runs; it may be deleted while no run is active.
    """

    views: int = 4
    folder: str = "~/.cache/vsearch/trunk"

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"`data.trunk_cache.views` is {self.views}: set it to 1 or more.")


class CachedPhotos(Dataset[Batch]):
    """Items as (map of the trunk, label code, catalog row), read a batch at a time.

    Index it like `PhotoDataset`; the seed chooses the view.
    """

    def __init__(self, store: Store, places: np.ndarray, items: pd.DataFrame) -> None:
        self.store = store
        self.places = places  # int (n, views, 2)
        self.labels = torch.tensor(items["label_code"].to_numpy())
        self.rows = torch.tensor(items.index.to_numpy())

    def __len__(self) -> int:
        return len(self.places)

    def __getitems__(self, indices: Sequence[Index]) -> Batch:
        """Return a batch: maps bfloat16 (B, C, h, w), label codes int (B,), catalog rows (B,)."""
        pairs = [index if isinstance(index, tuple) else (index, 0) for index in indices]
        positions, seeds = map(np.array, zip(*pairs, strict=True))
        maps = self.store.take(self.places[positions, seeds % self.places.shape[1]])
        return maps, self.labels[positions], self.rows[positions]


class TrunkMaps:
    """Makes data sets of maps for one network in its current state; computes missing maps.

    Args:
        preprocessing: the network's preprocessing.
        augment: augmentation of training photos.
        seed: decides their views.
        precision: the trunk's precision, by the trainer's name.
        context: the context for that precision.
    """

    def __init__(
        self,
        settings: TrunkCache,
        cut: Cut,
        preprocessing: Preprocessing,
        augment: nn.Module | None,
        seed: int,
        precision: str,
        context: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.settings = settings
        self.augment = augment
        self.seed = seed
        self.maker = Maker(cut.trunk, preprocessing, augment, context)
        blank = torch.zeros(1, 3, preprocessing.size, preprocessing.size, dtype=torch.uint8)
        folder = Path(settings.folder).expanduser() / trunk_key(cut, preprocessing, precision)
        self.store = Store(folder, tuple(self.maker.maps(blank)[0].shape))

    def plain(self, items: pd.DataFrame, hashes: pd.Series) -> CachedPhotos:
        """Return the items' photos without augmentation; `hashes` are those of their pixels."""
        return self._dataset(items, hashes, [PLAIN], 0)

    def augmented(self, items: pd.DataFrame, hashes: pd.Series) -> CachedPhotos:
        """Return `views` versions of the items' photos; also make plain ones for the gallery."""
        if self.augment is None:
            return self.plain(items, hashes)
        return self._dataset(items, hashes, [PLAIN, *range(self.settings.views)], 1)

    def _dataset(
        self, items: pd.DataFrame, hashes: pd.Series, views: list[int], first: int
    ) -> CachedPhotos:
        keys = [tuple(view_keys(one, views, self._augmentation, self.seed)) for one in hashes]
        photos = zip(items["path"], boxes(items), keys, strict=True)
        sources = [Source(path, box, tuple(views), own) for path, box, own in photos]
        fill(self.store, self.maker, sources)
        found = self.store.find([*chain.from_iterable(keys)])
        places = found.reshape(len(items), len(views), 2)
        return CachedPhotos(self.store, places[:, first:], items)

    @cached_property
    def _augmentation(self) -> str:
        return "" if self.augment is None else description(self.augment)
