import numpy as np
import torch
from torch import nn

from vsearch.models.adaptations.base import Adaptation


class LDA(Adaptation):
    """Linear discriminant analysis: the directions in which labels differ most, for what their
    photos differ.

    Fisher 1936, Rao 1948; shrinkage as in Friedman 1989, "Regularized Discriminant Analysis". The
    embedding gets one value less than there are labels. What doesn't tell labels apart is lost, and
    labels that the map wasn't fitted on are told apart less well than before.

    Args:
        shrinkage: how much of the covariance within labels gives way to the mean variance, above 0
            and up to 1. Few photos, and those that the network was trained on, show too little of
            it.
    """

    def __init__(self, shrinkage: float = 0.3) -> None:
        if not 0 < shrinkage <= 1:
            raise ValueError(f"shrinkage: it must be above 0 and up to 1, not {shrinkage}.")
        self.shrinkage = shrinkage

    def width(self, dim: int, n_labels: int) -> int:
        """Return how many directions can tell so many labels apart."""
        return min(dim, n_labels - 1)

    def fit(self, embeddings: np.ndarray, labels: np.ndarray) -> nn.Linear:
        """Return the centred projection on these directions."""
        vectors = torch.from_numpy(embeddings)
        n, dim = vectors.shape
        _, codes, counts = torch.from_numpy(labels).unique(return_inverse=True, return_counts=True)
        sums = vectors.new_zeros(len(counts), dim).index_add_(0, codes, vectors)
        centroids = sums / counts[:, None]

        apart = vectors - centroids[codes]
        variances, axes = torch.linalg.eigh((apart.T @ apart).double() / n)
        variances = variances.clamp(min=1e-12)  # a photo of each label has none
        shrunk = variances.lerp(variances.mean(), self.shrinkage)
        whitening = axes / shrunk.sqrt()

        mean = vectors.mean(0).double()
        between = (counts / n).sqrt()[:, None] * (centroids - mean) @ whitening
        directions = torch.linalg.svd(between, full_matrices=False).Vh
        kept = directions[: self.width(dim, len(counts))]

        layer = nn.Linear(dim, len(kept)).requires_grad_(False)
        layer.weight.copy_(kept @ whitening.T)
        layer.bias.copy_(-(layer.weight.double() @ mean))
        return layer
