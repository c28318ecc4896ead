from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def joint(own: Tensor) -> Tensor:
    """Return the rows of all ranks, (B of all, ...), rank by rank; in a single process its own.

    A loss of them, computed on every rank, trains like one process with the whole batch: DDP
    averages the ranks' gradients, but each rank's covers only its own rows, so `backward`
    multiplies it by the number of ranks. Weights of the loss itself get the same gradient on every
    rank, so their mean is already right. pytorch-metric-learning's DistributedLossWrapper
    multiplies the loss instead of the gradient, which makes the latter gradients too large; it
    also needs equally many rows on each rank, and puts a rank's own rows first.

    Args:
        own: this rank's rows, (B, ...), any number of them; the same type and width on all ranks.
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
        padded = own.new_zeros(max(sizes), *own.shape[1:])  # all_gather needs one shape
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[ctx.own] * ctx.world
