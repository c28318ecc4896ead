from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from torch.utils.data import Sampler

from vsearch.training.samplers.base import BatchPlan


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """A plan's batches, epoch by epoch, for a DataLoader.

    A batch is a list of (position, seed): the seed determines that photo's augmentation, so a run
    repeats exactly with any number of workers, also when resumed.

    Each of several ranks draws the same batches of world * P classes as one process would, and
    yields its share: P whole classes if the plan is by label, else a run of the photos.

    Args:
        plan: which photos form a batch.
        labels: int (n,), the label of each position.
        p: classes in a rank's batch; lowered if there are too few photos, and for a plan by label
            if there are too few classes.
        k: photos of each class.
        seed: decides every draw, together with the epoch.
        epoch: returns the number of the epoch that begins.
        items: the catalog's columns, for plans that use them.
        rank, world: this rank, and the number of ranks.
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
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.plan = plan
        self.labels = np.asarray(labels)
        self.k = k
        self.seed = seed
        self.epoch = epoch
        self.items = pd.DataFrame(index=range(len(self.labels))) if items is None else items
        self.rank = rank
        self.world = world

        classes = len(np.unique(self.labels))
        drawable = classes if plan.by_label else p * world
        self.p = min(p, drawable // world, len(self.labels) // (k * world))
        if self.p * world < 2 or classes < 2:
            setting = "`data.photos_per_class`: " if classes > 1 else ""
            n = max(2, world)
            devices = "" if world == 1 else f" on {world} devices"
            raise ValueError(
                f"{setting}Batches of P={p} classes x K={k} photos{devices} need {n} classes and "
                f"{n}*K photos or more; this part has {classes} classes and {len(self.labels)} "
                "photos. Lower K, or add photos."
            )
        plan.check(self.items)

    @property
    def joint_p(self) -> int:
        """Classes in the batch of all ranks together."""
        return self.p * self.world

    def __len__(self) -> int:
        return len(self.labels) // (self.joint_p * self.k)

    def set_epoch(self, epoch: int) -> None:
        """Draw this epoch from now on: for training loops other than Lightning's."""
        self.epoch = lambda: epoch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng([self.seed, self.epoch()])
        batches = self.plan.epoch(self.labels, self.items, self.joint_p, self.k, rng)
        repeats = any(len(set(batch)) < len(batch) for batch in batches)
        if len(batches) != len(self) or repeats:
            raise ValueError(
                f"{type(self.plan).__name__}.epoch must return {len(self)} batches, and a photo at "
                f"most once in each; it returned {len(batches)} batches."
            )
        for batch in batches:
            seeded = [(position, int(rng.integers(2**63))) for position in batch]
            yield seeded if self.world == 1 else self._own_share(seeded)

    def _own_share(self, batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        groups = [position for position, _ in batch]
        if self.plan.by_label:
            groups = self.labels[groups].tolist()
        shares = np.array_split(list(dict.fromkeys(groups)), self.world)
        own = set(shares[self.rank].tolist())
        if not own:
            raise ValueError(
                f"{type(self.plan).__name__}.epoch: a batch has too few labels for {self.world} "
                "devices."
            )
        return [photo for photo, group in zip(batch, groups, strict=True) if group in own]
