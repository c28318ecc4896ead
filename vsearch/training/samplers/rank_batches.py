import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class Shares(Sampler[list[int]]):
    """One rank's share of n positions, in batches.

    Each position comes once, on one rank, and every rank has equally many batches; a
    DistributedSampler would repeat positions. The first batches of all ranks together are the first
    positions in order, and so on.

    Args:
        n: positions, at least one for each rank.
        size: the largest batch.
        rank, world: this rank, and the number of ranks.
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
