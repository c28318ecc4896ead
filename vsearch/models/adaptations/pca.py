import numpy as np
import torch
from torch import nn

from vsearch.models.adaptations.base import Adaptation

NOTHING = 1e-6  # of the largest variance: rounding in float32 gives as much


class PCA(Adaptation):
    """The directions in which embeddings vary most, those with much variance made weaker.

    Principal components and whitening: Jégou and Chum 2012, "Negative evidences and co-occurrences
    in image retrieval: the benefit of PCA and whitening". Whitening divides each component by its
    standard deviation, which also strengthens the noise of weak ones; half of it divides by the
    square root of that. Labels aren't needed, so colours and labels that it wasn't fitted to stay.

    Args:
        dim: components that are kept, the length of the new embedding.
        whitening: 0 (none) to 1 (all components vary alike).
    """

    def __init__(self, dim: int = 160, whitening: float = 0.5) -> None:
        if dim < 2:
            raise ValueError(f"dim: {dim} is too short for an embedding: it must be 2 or more.")
        if not 0 <= whitening <= 1:
            raise ValueError(f"whitening: it must be from 0 to 1, not {whitening}.")
        self.dim = dim
        self.whitening = whitening

    def width(self, dim: int, n_labels: int) -> int:
        """Return the number of components, at most `dim`."""
        return min(self.dim, dim)

    def fit(self, embeddings: np.ndarray, labels: np.ndarray) -> nn.Linear:
        """Return the centred projection on the components."""
        vectors = torch.from_numpy(embeddings)
        n, dim = vectors.shape
        kept = self.width(dim, n)
        mean = vectors.mean(0)
        apart = vectors - mean
        variances, axes = torch.linalg.eigh((apart.T @ apart).double() / n)
        variances = variances[-kept:].flip(0)
        # fewer photos than components, or fewer dimensions, leave directions without any variance
        varies = variances > NOTHING * variances[0]
        scale = torch.where(varies, variances.abs() ** (-self.whitening / 2), 0)

        layer = nn.Linear(dim, kept).requires_grad_(False)
        layer.weight.copy_((axes[:, -kept:].flip(1) * scale).T)
        layer.bias.copy_(-(layer.weight.double() @ mean.double()))
        return layer
