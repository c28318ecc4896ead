from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from torch import nn

EVERYTHING = "all"  # instead of a stage's name
FEW = 6  # fewer stages than this are split further


@dataclass(frozen=True)
class Block:
    """How many parameters a stage has, and how many of them are trained."""

    name: str
    parameters: int
    trainable: int

    @classmethod
    def of(cls, name: str, parameters: Iterable[nn.Parameter]) -> Self:
        """Count parameters."""
        total = 0
        trainable = 0
        for parameter in parameters:
            total += parameter.numel()
            trainable += parameter.numel() * parameter.requires_grad
        return cls(name, total, trainable)


def stages(model: nn.Module) -> list[str]:
    """Return the model's parts that have parameters, input first, by the names that `freeze` takes.

    They are its direct children. While there are fewer than 6, the children of the largest
    divisible one replace it. Single parameters (a ViT's class token) belong to no stage.
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

    BatchNorm's running statistics aren't parameters: `hold_frozen` stops their updates.

    Raises:
        ValueError: a name isn't a part of `model`, or has no parameters; the message lists the
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
    """Return the parts with the names given to `freeze`, or to another `setting`.

    Raises:
        ValueError: a name isn't a part of `model`; the message lists the stages.
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
    """Put fully frozen submodules into eval mode, so that BatchNorm statistics don't change.

    Call it after each `train()`.
    """
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            # Not eval(): that calls the module's own train(), which may call this.
            nn.Module.train(module, False)


def blocks(model: nn.Module) -> list[Block]:
    """Return the model's direct parameters and children; a single child is replaced by its own."""
    children = [(name, child) for name, child in model.named_children() if _size(child)]
    own = list(model.named_parameters(recurse=False))
    if len(children) == 1 and not own:
        only = children[0][1]
        if any(True for _ in only.children()):
            return blocks(only)
    found = [Block.of(name, [parameter]) for name, parameter in own]
    return found + [Block.of(name, child.parameters()) for name, child in children]


def _parts(module: nn.Module, prefix: str) -> list[str]:
    """Return the names of the children with parameters; a single child is replaced by its own."""
    children = {f"{prefix}{name}": child for name, child in module.named_children() if _size(child)}
    names = [*children]
    if len(names) == 1:
        return _parts(children[names[0]], f"{names[0]}.") or names
    return names


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
