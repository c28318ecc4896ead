from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class EmbeddedRows:
    """Items of a catalog as vectors.

    Attributes:
        embeddings: float32 (n, dim).
        labels: int64 (n,), label codes.
        rows: int64 (n,), the items' rows in the catalog.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


def embed_loader(
    model: Callable[[Tensor], Tensor],
    loader: DataLoader,
    device: torch.device,
    title: str = "Embedding",
) -> EmbeddedRows:
    """Embed a loader's photos, in its order, with a progress bar."""
    n_items = len(loader.dataset)  # type: ignore[arg-type]
    embeddings = np.empty((n_items, 0), np.float32)
    labels = np.empty(n_items, np.int64)
    rows = np.empty(n_items, np.int64)

    start = 0
    with torch.inference_mode():
        for photos, batch_labels, batch_rows in track(loader, title):
            made = model(photos.to(device)).cpu().numpy()
            if start == 0:
                # One array from the start: joining batches at the end takes twice the memory.
                embeddings = np.empty((n_items, made.shape[1]), np.float32)

            stop = start + len(made)
            embeddings[start:stop] = made
            labels[start:stop] = batch_labels.numpy()
            rows[start:stop] = batch_rows.numpy()
            start = stop

    return EmbeddedRows(embeddings, labels, rows)
