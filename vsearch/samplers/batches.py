from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from torch.utils.data import Sampler

from vsearch.samplers.base import BatchPlan


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """A plan's batches, epoch by epoch, for a DataLoader.

    A batch is a list of (position, seed): the seed drives that photo's augmentation, so that a run repeats exactly,
    whatever the number of workers, also when resumed.

    Args:
        plan: which photos meet in a batch.
        labels: int (n,), the label of each position.
        p: classes in a batch; lowered to what the photos fill, and of a plan by label to the number of classes.
        k: photos of each class.
        seed: with the epoch, decides every draw.
        epoch: returns the number of the epoch that begins.
        items: the catalog's columns, a row for each label; for plans that look at them.

    Raises:
        ValueError: there are fewer than 2 classes or fewer than 2*k photos; the plan can't use these items; when
            iterated: the plan breaks its promise.
    """

    def __init__(
        self,
        plan: BatchPlan,
        labels: Sequence[int] | np.ndarray,
        p: int,
        k: int,
        seed: int = 0,
        epoch: Callable[[], int] = lambda: 0,
        items: pd.DataFrame | None = None,
    ) -> None:
        self.plan, self.labels, self.k, self.seed, self.epoch = plan, np.asarray(labels), k, seed, epoch
        self.items = pd.DataFrame(index=range(len(self.labels))) if items is None else items
        classes = len(np.unique(self.labels))
        self.p = min(p, classes if plan.by_label else p, len(self.labels) // k)
        if self.p < 2 or classes < 2:
            setting = "`data.photos_per_class`: " if classes > 1 else ""
            raise ValueError(
                f"{setting}Batches of P={p} classes x K={k} photos need 2 classes and 2*K photos or more; "
                f"this part has {classes} classes and {len(self.labels)} photos. Lower K, or add photos."
            )
        plan.check(self.items)

    def __len__(self) -> int:
        return len(self.labels) // (self.p * self.k)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        batches = self.plan.epoch(self.labels, self.items, self.p, self.k, rng)
        if len(batches) != len(self) or any(len(set(batch)) < len(batch) for batch in batches):
            raise ValueError(
                f"{type(self.plan).__name__}.epoch must return {len(self)} batches, and a photo at most once in each; "
                f"it returned {len(batches)} batches."
            )
        for batch in batches:
            yield [(position, int(rng.integers(2**63))) for position in batch]
