from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch.distributed as dist
from lightning.pytorch import Trainer

Made = TypeVar("Made")


class RankZeroError(Exception):
    """Rank zero failed and reports why; the other ranks only stop."""


def make_at_rank_zero(trainer: Trainer, make: Callable[[], Made]) -> Made:
    """Return, on every rank, the result of `make` on rank zero. Call it on all ranks.

    Raises:
        RankZeroError: on the other ranks, if `make` raises on rank zero.
    """
    if trainer.world_size == 1:
        return make()
    made: Any = None
    error: Exception | None = None
    if trainer.is_global_zero:
        try:
            made = make()
        except Exception as raised:
            error = raised
    made, reason = trainer.strategy.broadcast((made, repr(error) if error else None))
    if error is not None:
        raise error
    if reason is not None:
        raise RankZeroError(f"rank zero failed: {reason}")
    return made


def gather_at_rank_zero(
    trainer: Trainer, batches: Sequence[tuple[np.ndarray, ...]]
) -> tuple[np.ndarray, ...]:
    """Return the columns of all ranks' batches on rank zero, in `Shares`' order; () on the others.

    All ranks call this with equally many batches, at least one: tuples of columns of one length.
    """
    if trainer.world_size > 1:
        parts: list[Any] | None = [None] * trainer.world_size if trainer.is_global_zero else None
        dist.gather_object(batches, parts)
        if parts is None:
            return ()
        batches = [batch for step in zip(*parts, strict=True) for batch in step]
    return tuple(map(np.concatenate, zip(*batches, strict=True)))
