import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from vsearch.training.embedding_loop import embed_loader


def test_embedding_keeps_the_loaders_order():
    photos = torch.randn(10, 4)
    items = TensorDataset(photos, torch.arange(10) % 3, torch.arange(100, 110))
    loader = DataLoader(items, batch_size=4)

    made = embed_loader(lambda batch: batch * 2, loader, torch.device("cpu"))

    assert np.array_equal(made.embeddings, photos.numpy() * 2)
    assert made.labels.tolist() == [i % 3 for i in range(10)]
    assert made.rows.tolist() == list(range(100, 110))
