from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
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
    """How a fit keeps what the frozen stages make of each photo, so that they are computed once and
    not every epoch.

    Attributes:
        views: augmented versions of each training photo that are made, and drawn from; at least 1.
        folder: where they lie, for all runs; it may be deleted when none is going on.
    """

    views: int = 4
    folder: str = "~/.cache/vsearch/trunk"

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"`data.trunk_cache.views` is {self.views}: set it to 1 or more.")


class CachedPhotos(Dataset[Batch]):
    """Items as (map of the trunk, label code, row of the item in the catalog), read a batch at a
    time.

    Indexed as `PhotoDataset` is; the seed chooses the view.
    """

    def __init__(self, store: Store, places: np.ndarray, items: pd.DataFrame) -> None:
        self.store, self.places = store, places  # int (n, views, 2)
        self.labels, self.rows = (
            torch.tensor(items["label_code"].to_numpy()),
            torch.tensor(items.index.to_numpy()),
        )

    def __len__(self) -> int:
        return len(self.places)

    def __getitems__(self, indices: Sequence[Index]) -> Batch:
        """Return a batch: maps bfloat16 (B, C, h, w), label codes int (B,), catalog rows (B,)."""
        pairs = [index if isinstance(index, tuple) else (index, 0) for index in indices]
        positions, seeds = map(np.array, zip(*pairs, strict=True))
        maps = self.store.take(self.places[positions, seeds % self.places.shape[1]])
        return maps, self.labels[positions], self.rows[positions]


class TrunkMaps:
    """Makes data sets of maps for one network, as it is now; maps that are not in the cache yet are
    computed.

    Args:
        settings: views and folder.
        cut: the network.
        preprocessing: its own.
        augment: what is done to training photos.
        seed: decides their views.
        precision: what the trunk computes in, as the trainer names it.
        context: what it is run within, for that precision.
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
        self.settings, self.augment, self.seed = settings, augment, seed
        self.maker = Maker(cut.trunk, preprocessing, augment, context)
        folder = Path(settings.folder).expanduser() / trunk_key(cut, preprocessing, precision)
        self.store = Store(folder, tuple(self.maker.maps(self._blank)[0].shape))

    def plain(self, items: pd.DataFrame, hashes: pd.Series) -> CachedPhotos:
        """Return the items' photos as they are; `hashes` are those of their pixels."""
        return self._dataset(items, hashes, [PLAIN], 0)

    def augmented(self, items: pd.DataFrame, hashes: pd.Series) -> CachedPhotos:
        """Return the items' photos in `views` versions; the plain one, which the gallery wants, is
        made beside them.
        """
        if self.augment is None:
            return self.plain(items, hashes)
        return self._dataset(items, hashes, [PLAIN, *range(self.settings.views)], 1)

    def _dataset(
        self, items: pd.DataFrame, hashes: pd.Series, views: list[int], first: int
    ) -> CachedPhotos:
        keys = [tuple(view_keys(one, views, self._augmentation, self.seed)) for one in hashes]
        places = zip(items["path"], boxes(items), keys, strict=True)
        fill(
            self.store,
            self.maker,
            [Source(path, box, tuple(views), own) for path, box, own in places],
        )
        found = self.store.find([key for own in keys for key in own]).reshape(
            len(items), len(views), 2
        )
        return CachedPhotos(self.store, found[:, first:], items)

    @cached_property
    def _augmentation(self) -> str:
        return "" if self.augment is None else description(self.augment)

    @property
    def _blank(self) -> Tensor:
        size = self.maker.preprocessing.size
        return torch.zeros(1, 3, size, size, dtype=torch.uint8)
