from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def joint(own: Tensor) -> Tensor:
    """Return the rows of all ranks, (B of all, ...), rank by rank; of a single process its own.

    A loss of them, computed on every rank, trains as one process would with the whole batch: DDP
    takes the mean of the ranks' gradients, and each rank's is of its own rows alone, so it is
    multiplied by the number of ranks on its way back. Weights of the loss itself get the same
    gradient on every rank, whose mean is right as it is. pytorch-metric-learning's
    DistributedLossWrapper multiplies the loss in place of the gradient, which makes those too
    large; it needs as many rows on each rank, and puts a rank's own first.

    Args:
        own: this rank's rows, (B, ...), any number of them; of one type and width on all ranks.
    """
    trains_alone = not (dist.is_available() and dist.is_initialized())
    if trains_alone or dist.get_world_size() == 1:
        return own
    return _Joint.apply(own)


class _Joint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        world = dist.get_world_size()
        rank = dist.get_rank()
        counts = [own.new_zeros(1, dtype=torch.int64) for _ in range(world)]
        dist.all_gather(counts, counts[0].new_tensor([len(own)]))
        sizes = torch.cat(counts).tolist()
        ctx.own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        ctx.world = world
        padded = own.new_zeros(max(sizes), *own.shape[1:])  # all_gather wants one shape
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[ctx.own] * ctx.world
