from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from torch.utils.data import Sampler


class PKBatches(Sampler[list[tuple[int, int]]]):
    """PK batches: P classes, K photos of each, drawn by pytorch-metric-learning's MPerClassSampler.

    One pass yields as many photos as there are in the set. A batch is a list of (position, seed): the seed drives
    that photo's augmentation, so that a run repeats exactly, whatever the number of workers, also when resumed.

    MPerClassSampler draws a class of fewer than K photos with replacement; here a photo comes once a batch, since a
    photo drawn twice would be its own positive. Such a class gives all the photos it has and the batch is smaller.

    Args:
        labels: int (n,), the label of each position.
        p: classes in a batch; lowered to the number of classes there are, and to what the photos fill.
        k: photos of each class.
        seed: with the epoch, decides every draw.
        epoch: returns the number of the epoch that begins.

    Raises:
        ValueError: there are fewer than 2 classes or fewer than 2*k photos.
    """

    def __init__(
        self, labels: Sequence[int] | np.ndarray, p: int, k: int, seed: int = 0, epoch: Callable[[], int] = lambda: 0
    ) -> None:
        self.labels, self.k, self.seed, self.epoch = np.asarray(labels), k, seed, epoch
        classes = len(np.unique(self.labels))
        self.p = min(p, classes, len(self.labels) // k)
        if self.p < 2:
            raise ValueError(
                f"PK batches of P={p} classes x K={k} photos need 2 classes and 2*K photos or more; this part has "
                f"{classes} classes and {len(self.labels)} photos. Lower K, or add photos."
            )

    def __len__(self) -> int:
        return len(self.labels) // (self.p * self.k)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size, rng = self.p * self.k, np.random.default_rng([self.seed, self.epoch()])
        state = np.random.get_state()  # MPerClassSampler draws from NumPy's global generator: lend it a seeded one
        np.random.seed(rng.integers(2**32))
        try:
            drawn = list(MPerClassSampler(self.labels, self.k, size, len(self.labels)))
        finally:
            np.random.set_state(state)
        for start in range(0, len(self) * size, size):
            batch = dict.fromkeys(int(position) for position in drawn[start : start + size])
            yield [(position, int(rng.integers(2**63))) for position in batch]
