import numpy as np
import torch
from torch import nn

from vsearch.models.adaptations.base import Adaptation


class LDA(Adaptation):
    """Linear discriminant analysis: the directions in which labels differ most, relative to the
    variation within labels.

    Fisher 1936, Rao 1948; shrinkage as in Friedman 1989, "Regularized Discriminant Analysis". The
    embedding gets one value fewer than there are labels. Directions that don't separate labels are
    lost, so labels that the map wasn't fitted on are separated less well than before.

    Args:
        shrinkage: share of the mean variance in the covariance within labels, above 0 and up to 1.
            The covariance of few photos, or of photos that the network was trained on, is too
            small.
    """

    def __init__(self, shrinkage: float = 0.3) -> None:
        if not 0 < shrinkage <= 1:
            raise ValueError(f"shrinkage: it must be above 0 and up to 1, not {shrinkage}.")
        self.shrinkage = shrinkage

    def width(self, dim: int, n_labels: int) -> int:
        """Return the number of directions that can separate so many labels."""
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
        variances = variances.clamp(min=1e-12)  # it is 0 with one photo per label
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
