import numpy as np
import pandas as pd

from vsearch.training.samplers.base import BatchPlan


class RandomPlan(BatchPlan):
    """Shuffled batches of P * K photos, whatever their labels: to show what PK batches are for.

    In a catalog of many labels most photos meet no other of their label, so that pair and triplet
    losses learn little, or nothing. A loss with a weight for each class does well.
    """

    by_label = False

    def epoch(
        self, labels: np.ndarray, items: pd.DataFrame, p: int, k: int, rng: np.random.Generator
    ) -> list[list[int]]:
        """Shuffle and cut: each photo once, but for those that fill no whole batch."""
        n_batches = len(labels) // (p * k)
        return rng.permutation(len(labels))[: n_batches * p * k].reshape(n_batches, p * k).tolist()
