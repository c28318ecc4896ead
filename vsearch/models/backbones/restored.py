from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

WHOLE = (torch.nn.init.uniform_, torch.nn.init.normal_, torch.nn.init.kaiming_uniform_)
PLAIN = (torch.Tensor.uniform_, torch.Tensor.normal_)
FEW = 4096
_known: ContextVar[int | None] = ContextVar("_known", default=None)


class _HardlyDrawn(TorchFunctionMode):
    """Has few random values drawn, in this thread, and repeats them.

    Not none: `trunc_normal_` draws until all values lie within its bounds.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if function in WHOLE:
            return args[0] if args else named["tensor"]
        if function not in PLAIN or args[0].numel() <= FEW:
            return function(*args, **named)
        tensor, n = args[0], args[0].numel()
        few = function(tensor.new_empty(FEW), *args[1:], **named)
        return tensor.copy_(few.repeat(-(-n // FEW))[:n].view(tensor.shape))


@contextmanager
def restored(dim: int | None) -> Iterator[None]:
    """Build a network whose stored weights are loaded afterwards: its own are hardly drawn, as
    constructors do.

    Drawing a ResNet-50's weights and embedding a black photo with it takes longer than loading it.

    Args:
        dim: of its features, where it is known, so that it isn't measured.
    """
    token = _known.set(dim)
    try:
        with _HardlyDrawn():
            yield
    finally:
        _known.reset(token)


def known_dim() -> int | None:
    """Return the features' number within `restored`, where it is known."""
    return _known.get()
