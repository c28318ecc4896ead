from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from vsearch.models.embedder import Embedder

FACTOR = "lr_factor"


def parameter_groups(
    embedder: Embedder, loss: nn.Module, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the trainable parameters as optimizer groups: one per part in `factors`, and the rest.

    Each group has its factor. Parts may be nested (`layer4`, `layer4.2`): the inner one's factor
    counts.

    Args:
        factors: maps `loss`, `head` if the embedder has one, or a part of the backbone by the name
            that `freeze` takes, to a factor above 0. A part without parameters (most losses) is
            allowed and changes nothing.
    """
    parts = {name: _parameters(embedder, loss, name) for name in factors}
    # Inner parts come first.
    names = sorted(parts, key=lambda name: (len(parts[name]), -name.count(".")))
    groups: list[dict[str, Any]] = []
    taken: set[int] = set()
    for name in names:
        if factors[name] <= 0:
            raise ValueError(
                f"lr_factors: {name} is {factors[name]}; a factor must be above 0. To freeze, see "
                "`freeze`."
            )
        if parts[name] and not any(value.requires_grad for value in parts[name]):
            raise ValueError(
                f"lr_factors: {name} is frozen, so its factor has no effect: remove it, or don't "
                "freeze."
            )
        groups.append({"params": _trainable(parts[name], taken), FACTOR: factors[name]})

    rest = _trainable([*embedder.parameters(), *loss.parameters()], taken)
    groups.insert(0, {"params": rest, FACTOR: 1.0})
    return [group for group in groups if group["params"]]


def scale_rates(optimizer: Optimizer) -> None:
    """Multiply each group's learning rate by its factor."""
    for group in optimizer.param_groups:
        group["lr"] *= group[FACTOR]


def _parameters(embedder: Embedder, loss: nn.Module, name: str) -> list[nn.Parameter]:
    others = {"loss": loss}
    if embedder.head is not None:
        others["head"] = embedder.head
    if name in others:
        return list(others[name].parameters())
    try:
        return embedder.backbone.weights_of(name, "lr_factors")
    except ValueError as error:
        raise ValueError(f"{error} Outside the backbone: {', '.join(others)}.") from error


def _trainable(parameters: Iterable[nn.Parameter], taken: set[int]) -> list[nn.Parameter]:
    """Return the trainable ones that no group has yet, and mark them as taken."""
    found = [value for value in parameters if value.requires_grad and id(value) not in taken]
    taken.update(map(id, found))
    return found
