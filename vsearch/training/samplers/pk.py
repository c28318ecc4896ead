import numpy as np
import pandas as pd
from pytorch_metric_learning.samplers import MPerClassSampler

from vsearch.training.samplers.base import BatchPlan


class PKPlan(BatchPlan):
    """PK batches: P classes, K photos of each, drawn by pytorch-metric-learning's MPerClassSampler.

    A photo drawn twice is used once, so a class of fewer than K photos makes a batch smaller.
    """

    def epoch(
        self, labels: np.ndarray, items: pd.DataFrame, p: int, k: int, rng: np.random.Generator
    ) -> list[list[int]]:
        """Draw each batch's classes, and its photos of each, at random."""
        size = p * k
        state = np.random.get_state()
        # MPerClassSampler draws from NumPy's global generator, which is restored.
        np.random.seed(rng.integers(2**32))
        try:
            drawn = [int(position) for position in MPerClassSampler(labels, k, size, len(labels))]
        finally:
            np.random.set_state(state)
        starts = range(0, len(drawn), size)
        return [list(dict.fromkeys(drawn[start : start + size])) for start in starts]
