import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from vsearch.catalogs.base import boxes
from vsearch.images import Preprocessing, normalise, open_photo, to_square

Sample = tuple[Tensor, int, int]


class PhotoDataset(Dataset[Sample]):
    """Photos of `items` as (normalised tensor (3, S, S), label code, row of the item in the catalog).

    Indexed by a position, or by (position, seed) to augment the photo with that seed.
    """

    def __init__(self, items: pd.DataFrame, preprocessing: Preprocessing, augment: nn.Module | None = None) -> None:
        self.paths, self.boxes = items["path"].tolist(), boxes(items)
        self.labels, self.rows = items["label_code"].tolist(), items.index.tolist()
        self.preprocessing, self.augment = preprocessing, augment

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        position, seed = index if isinstance(index, tuple) else (index, None)
        photo = open_photo(self.paths[position], self.boxes[position], self.preprocessing.fill)
        square = to_square(photo, self.preprocessing)
        if seed is not None and self.augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # the CPU's alone, which is put back
                square = self.augment(square)
        return normalise(square, self.preprocessing), self.labels[position], self.rows[position]
