from abc import ABC, abstractmethod

import numpy as np
from torch import nn


class Adaptation(ABC):
    """Fits a linear map to embeddings of the train part, which the bundle then applies to all."""

    @abstractmethod
    def width(self, dim: int, n_labels: int) -> int:
        """Return how long embeddings of `dim` values are behind the map, before it is fitted."""

    @abstractmethod
    def fit(self, embeddings: np.ndarray, labels: np.ndarray) -> nn.Linear:
        """Return the map, of embeddings, float32 (n, dim), unit length, with labels, int (n,)."""
