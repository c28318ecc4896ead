import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class Shares(Sampler[list[int]]):
    """One rank's share of n positions, in batches.

    Each position comes once, on one rank, and every rank has as many batches: a DistributedSampler
    repeats positions to make them even. The ranks' first batches, put together, are the first
    positions in their order, and so on.

    Args:
        n: positions, at least one for each rank.
        size: the largest batch.
        rank, world: whose share, of how many.
    """

    def __init__(self, n: int, size: int, rank: int, world: int) -> None:
        if n < world:
            raise ValueError(
                f"{n} photos can't be shared among {world} devices: train or score on fewer."
            )
        self.n = n
        self.steps = math.ceil(n / (size * world))
        self.rank = rank
        self.world = world

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for positions in np.array_split(np.arange(self.n), self.steps):
            yield np.array_split(positions, self.world)[self.rank].tolist()
