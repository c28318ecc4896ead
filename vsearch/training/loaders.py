import os
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from vsearch.training.dataset import as_it_is

MOST = 16  # processes


def workers(devices: int = 1) -> int:
    """Return how many processes should decode photos for one of a machine's devices."""
    if not torch.cuda.is_available():
        return 2
    spare = (os.cpu_count() or 1) - 2
    return max(2, min(MOST, spare // devices))


def loader(dataset: Dataset, workers: int = 0, **batches: Any) -> DataLoader:
    """Return a DataLoader, with its settings, of a data set that makes whole batches itself."""
    return DataLoader(
        dataset,
        collate_fn=as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,  # to start them takes as long as many a batch
        pin_memory=torch.cuda.is_available(),  # copied to the GPU while it computes
        **batches,
    )
