import numpy as np
import pandas as pd

from vsearch.training.samplers.base import BatchPlan


class RandomPlan(BatchPlan):
    """Shuffled batches of P * K photos, regardless of labels: a baseline for PK batches.

    With many labels, most photos have no other photo of their label in the batch, so pair and
    triplet losses learn little or nothing. A loss with weights for each class works well.
    """

    by_label = False

    def epoch(
        self, labels: np.ndarray, items: pd.DataFrame, p: int, k: int, rng: np.random.Generator
    ) -> list[list[int]]:
        """Shuffle and cut: each photo once, except a remainder smaller than a batch."""
        n_batches = len(labels) // (p * k)
        return rng.permutation(len(labels))[: n_batches * p * k].reshape(n_batches, p * k).tolist()
