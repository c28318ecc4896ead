import os
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from vsearch.training.dataset import as_it_is

MOST = 16  # processes


def workers(devices: int = 1) -> int:
    """Return how many processes should decode photos for one of a machine's devices: beside GPUs
    most of the cores.
    """
    return (
        max(2, min(MOST, ((os.cpu_count() or 1) - 2) // devices))
        if torch.cuda.is_available()
        else 2
    )


def loader(dataset: Dataset, workers: int = 0, **batches: Any) -> DataLoader:
    """Return a loader of a data set that makes whole batches itself; `batches` are the DataLoader's
    own settings.
    """
    return DataLoader(
        dataset,
        collate_fn=as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,  # to start them takes as long as many a batch
        pin_memory=torch.cuda.is_available(),  # copied to the GPU while it computes
        **batches,
    )
