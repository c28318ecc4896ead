from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from torch import nn

EVERYTHING = "all"  # in place of a stage's name
FEW = 6  # with fewer stages than this there is too little to choose from


@dataclass(frozen=True)
class Block:
    """One part of a model: how many parameters it has, and how many of them are trained."""

    name: str
    parameters: int
    trainable: int

    @classmethod
    def of(cls, name: str, parameters: Iterable[nn.Parameter]) -> Self:
        """Count the parameters of the part with this name."""
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in parameters]
        return cls(
            name, sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
        )


def stages(model: nn.Module) -> list[str]:
    """Return the model's parts that have parameters, input first, by the names that `freeze` takes.

    They are its direct children; while there are fewer than 6, the largest that can be divided
    gives way to its own children. Single parameters (a ViT's class token) belong to no stage.
    """
    names = _parts(model, "")
    while len(names) < FEW:
        pieces = {name: _parts(model.get_submodule(name), f"{name}.") for name in names}
        divisible = [name for name in names if len(pieces[name]) > 1]
        if not divisible:
            break
        largest = names.index(max(divisible, key=lambda name: _size(model.get_submodule(name))))
        names[largest : largest + 1] = pieces[names[largest]]
    return names


def freeze(model: nn.Module, names: Iterable[str]) -> None:
    """Stop gradients for the named parts: a stage, any other submodule or parameter (`layer3.0`),
    or `all`.

    BatchNorm's running statistics are no parameters: `hold_frozen` keeps them still.

    Raises:
        ValueError: a name is no part of `model`, or one without parameters; the message lists the
            stages.
    """
    names = list(names)
    for name, part in zip(names, find(model, names), strict=True):
        if isinstance(part, nn.Module) and not _size(part):
            raise ValueError(
                f"freeze: {name!r} has no parameters. The stages: {', '.join(stages(model))}."
            )
        part.requires_grad_(False)


def find(
    model: nn.Module, names: Iterable[str], setting: str = "freeze"
) -> list[nn.Module | nn.Parameter]:
    """Return the parts that names given to `freeze`, or to another `setting`, stand for.

    Raises:
        ValueError: a name is no part of `model`; the message lists the stages.
    """
    parts: dict[str, nn.Module | nn.Parameter] = {
        **dict(model.named_modules()),
        **dict(model.named_parameters()),
    }
    parts[EVERYTHING] = parts.pop("")
    found = []
    for name in names:
        if name not in parts:
            raise ValueError(
                f"{setting}: {type(model).__name__} has no part {name!r}. Its stages: "
                f"{', '.join(stages(model))}; or {EVERYTHING}."
            )
        found.append(parts[name])
    return found


def hold_frozen(model: nn.Module) -> None:
    """Put every submodule whose parameters are all frozen into eval mode, so that its BatchNorm
    statistics stay still.

    Call it each time `train()` was called.
    """
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            nn.Module.train(
                module, False
            )  # not eval(): that calls a train() of its own, which may call this


def blocks(model: nn.Module) -> list[Block]:
    """Return the model's direct children and parameters, in order; a chain of single children is
    walked down.
    """
    children = [
        (name, list(child.parameters())) for name, child in model.named_children() if _size(child)
    ]
    own = [(name, [parameter]) for name, parameter in model.named_parameters(recurse=False)]
    if (
        len(children) == 1
        and not own
        and any(True for _ in model.get_submodule(children[0][0]).children())
    ):
        return blocks(model.get_submodule(children[0][0]))
    return [Block.of(name, parameters) for name, parameters in (*own, *children)]


def _parts(module: nn.Module, prefix: str) -> list[str]:
    """Return the names of the children that have parameters; a chain of single children is walked
    down.
    """
    children = [
        (f"{prefix}{name}", child) for name, child in module.named_children() if _size(child)
    ]
    if len(children) == 1:
        name, child = children[0]
        return _parts(child, f"{name}.") or [name]
    return [name for name, _ in children]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
