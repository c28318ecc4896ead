import os
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from vsearch.training.dataset import as_it_is

MOST = 16  # processes


def workers(devices: int = 1) -> int:
    """Return how many processes should decode photos for each of a machine's devices."""
    if not torch.cuda.is_available():
        return 2
    spare = (os.cpu_count() or 1) - 2
    return max(2, min(MOST, spare // devices))


def loader(dataset: Dataset, workers: int = 0, **batches: Any) -> DataLoader:
    """Return a DataLoader with these settings for a data set that makes whole batches itself."""
    return DataLoader(
        dataset,
        collate_fn=as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,  # starting them takes as long as some batches
        pin_memory=torch.cuda.is_available(),  # lets batches be copied while the GPU computes
        **batches,
    )
