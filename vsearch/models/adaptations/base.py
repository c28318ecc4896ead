from abc import ABC, abstractmethod

import numpy as np
from torch import nn


class Adaptation(ABC):
    """Fits a linear map to embeddings of the train part; the bundle applies it to all photos."""

    @abstractmethod
    def width(self, dim: int, n_labels: int) -> int:
        """Return the length that embeddings of `dim` values will have after the map."""

    @abstractmethod
    def fit(self, embeddings: np.ndarray, labels: np.ndarray) -> nn.Linear:
        """Return the map for embeddings, float32 (n, dim), unit length, with labels, int (n,)."""
