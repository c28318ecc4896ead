from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Block:
    """One direct part of a model: how many parameters it has, their share of all (0..1), how many are trained."""

    name: str
    parameters: int
    share: float
    trainable: int


def freeze(model: nn.Module, names: Iterable[str]) -> None:
    """Stop gradients for the named submodules (`layer1`, `layer3.0`).

    BatchNorm's running statistics are no parameters: `hold_frozen` keeps them still.

    Raises:
        ValueError: a name is no submodule of `model`; the message lists those that are.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            known = ", ".join(child for child, _ in model.named_children())
            raise ValueError(f"freeze: {type(model).__name__} has no submodule {name!r}. It has: {known}.")
        modules[name].requires_grad_(False)


def hold_frozen(model: nn.Module) -> None:
    """Put every submodule whose parameters are all frozen into eval mode, so that its BatchNorm statistics stay still.

    Call it each time `train()` was called.
    """
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def blocks(model: nn.Module) -> list[Block]:
    """Return the model's direct children that have parameters, in order; a chain of single children is walked down."""
    children = [(name, child) for name, child in model.named_children() if any(True for _ in child.parameters())]
    if len(children) == 1 and any(True for _ in children[0][1].children()):
        return blocks(children[0][1])
    total = sum(parameter.numel() for parameter in model.parameters())
    rows = []
    for name, child in children:
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in child.parameters()]
        count = sum(size for size, _ in sizes)
        rows.append(Block(name, count, count / total, sum(size for size, trained in sizes if trained)))
    return rows
