from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWN = (
    torch.Tensor.uniform_,
    torch.Tensor.normal_,
    torch.nn.init.uniform_,
    torch.nn.init.normal_,
    torch.nn.init.kaiming_uniform_,
)
_known: ContextVar[int | None] = ContextVar("_known", default=None)


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are, in this thread, where random values would be written into them."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if function in DRAWN:
            return args[0] if args else named["tensor"]
        return function(*args, **named)


@contextmanager
def restored(dim: int | None) -> Iterator[None]:
    """Build a network whose stored weights are loaded afterwards: none are drawn, as constructors do.

    Drawing a ResNet-50's weights and embedding a black photo with it takes longer than loading it.

    Args:
        dim: of its features, where it is known, so that it isn't measured.
    """
    token = _known.set(dim)
    try:
        with _Undrawn():
            yield
    finally:
        _known.reset(token)


def known_dim() -> int | None:
    """Return the features' number within `restored`, where it is known."""
    return _known.get()
