import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor, nn

from vsearch.errors import ConfigError
from vsearch.training.checks.component_errors import inner_components, refusal

log = logging.getLogger(__name__)
TRIPLETS = ("all", "hard", "semihard", "easy")  # with another word, the miner picks all
NO_LOSS_OF_EMBEDDINGS = (
    "can't take embeddings, labels, mined indices: use one of pytorch_metric_learning.losses, or "
    "vsearch.training.losses.classifier.ClassifierLoss for cross-entropy"
)
OBJECTS = ("distance", "reducer", "embedding_regularizer")


@dataclass(frozen=True)
class Trial:
    """One step on a random batch: the mined indices, and the gradient, float (B, dim)."""

    mined: Any
    gradient: Tensor


def dry_run(
    loss: nn.Module, miners: Mapping[str, nn.Module | None], embeddings: Tensor, labels: Tensor
) -> list[Trial]:
    """Take one step with copies of the loss and of each miner, given by its key.

    The batch is unit vectors (B, dim) with label codes (B,). If something can't be copied, it warns
    and returns nothing.
    """
    for key, component in {"model.loss": loss, **miners}.items():
        _check_untyped(key, component)
    try:
        loss, miners = copy.deepcopy((loss, dict(miners)))
    except Exception as error:
        log.warning(
            "Loss and miner can't be tried before training, because they can't be copied: %s", error
        )
        return []
    loss.train()
    return [_step(loss, miner, key, embeddings, labels) for key, miner in miners.items()]


def _step(
    loss: nn.Module, miner: nn.Module | None, key: str, embeddings: Tensor, labels: Tensor
) -> Trial:
    mined = None if miner is None else _mine(miner.train(), key, embeddings, labels)
    try:
        return Trial(mined, _gradient(loss, mined, embeddings, labels))
    except ConfigError as error:
        if miner is None:
            raise
        _gradient(
            loss, None, embeddings, labels
        )  # a loss that fails without a miner is refused here
        reason = str(error).removeprefix("model.loss: ")
        raise ConfigError(
            key, f"the loss can't take what {type(miner).__name__} picks: {reason}"
        ) from error


def _mine(miner: nn.Module, key: str, embeddings: Tensor, labels: Tensor) -> Any:
    try:
        mined = miner(embeddings, labels)
    except Exception as error:
        raise refusal(key, type(miner), error) from error
    is_pair = isinstance(mined, tuple | list) and all(map(torch.is_tensor, mined))
    if not is_pair or len(mined) not in (3, 4):
        reason = f"returns {_kind(mined)}, not 3 or 4 tensors of indices: is it a miner?"
        raise ConfigError(key, f"{type(miner).__name__} {reason}")
    return mined


def _gradient(loss: nn.Module, mined: Any, embeddings: Tensor, labels: Tensor) -> Tensor:
    name = type(loss).__name__
    inputs = embeddings.clone().requires_grad_()
    try:
        value = loss(inputs, labels, mined)
    except Exception as error:
        if type(loss).__module__ == nn.modules.loss.__name__:
            raise ConfigError("model.loss", f"torch.nn.{name} {NO_LOSS_OF_EMBEDDINGS}") from error
        raise refusal("model.loss", type(loss), error) from error
    if not isinstance(value, Tensor) or value.ndim != 0:
        reason = f"{name} returns {_kind(value)}, not one number: is it a loss?"
        raise ConfigError("model.loss", reason)
    if not torch.isfinite(value):
        reason = f"{name} is {value.item()} on a batch of random unit vectors"
        raise ConfigError("model.loss", reason)

    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, inputs, allow_unused=True)
    if gradient is None:
        reason = f"{name} has no gradient: it doesn't depend on the embeddings"
        raise ConfigError("model.loss", reason)
    return gradient


def _check_untyped(key: str, component: nn.Module | None) -> None:
    """Refuse text instead of objects, and unknown words: the library has no type hints."""
    if component is None:
        return
    for place, inner in inner_components(component, key):
        for name in OBJECTS:
            value = getattr(inner, name, None)
            if isinstance(value, str):
                raise ConfigError(
                    f"{place}.init_args.{name}",
                    f"write it as `class_path: {value}`, not as plain text",
                )
        if isinstance(inner, TripletMarginMiner) and inner.type_of_triplets not in TRIPLETS:
            raise ConfigError(
                f"{place}.init_args.type_of_triplets",
                f"{inner.type_of_triplets!r} must be one of {', '.join(TRIPLETS)}",
            )


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
