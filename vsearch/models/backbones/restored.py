import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from vsearch.errors import BundleError

WHOLE = (torch.nn.init.uniform_, torch.nn.init.normal_, torch.nn.init.kaiming_uniform_)
PLAIN = (torch.Tensor.uniform_, torch.Tensor.normal_)
MAKING = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
FEW = 4096
TIMES = 4  # limit, as a multiple of the stored weights: parts may be built and removed again
MANY = 1 << 40
SPARE = 1 << 26  # values allowed on top, for networks with small weights
_known: ContextVar[int | None] = ContextVar("_known", default=None)
_restoring: ContextVar[bool] = ContextVar("_restoring", default=False)


class _HardlyDrawn(TorchFunctionMode):
    """Draws only a few random values, in this thread, and repeats them; refuses a network that is
    much larger than its weights.

    It draws some: `trunc_normal_` draws until all values lie within its bounds.
    """

    def __init__(self, weights: int) -> None:
        super().__init__()
        self.left = TIMES * weights + SPARE

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
        if function in MAKING:
            self._take(args, named)
        if function not in PLAIN or args[0].numel() <= FEW:
            return function(*args, **named)
        tensor, n = args[0], args[0].numel()
        few = function(tensor.new_empty(FEW), *args[1:], **named)
        return tensor.copy_(few.repeat(-(-n // FEW))[:n].view(tensor.shape))

    def _take(self, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        shape = named.get("size", args[0] if args and not isinstance(args[0], int) else args)
        self.left -= math.prod(side for side in shape if isinstance(side, int))
        if self.left < 0:
            raise BundleError("the described network is far larger than its weights.")


def _without_network(event: str, args: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.connect") and _restoring.get():
        raise BundleError("the described network needs a download; a bundle has its own weights.")


sys.addaudithook(_without_network)


@contextmanager
def restored(dim: int | None, weights: int = MANY) -> Iterator[None]:
    """Build a network whose stored weights are loaded afterwards, without initialising it in full.

    Drawing a ResNet-50's weights and embedding a black photo with it takes longer than loading it.

    Nothing is downloaded meanwhile: the description may be from a stranger.

    Args:
        dim: length of its features if known, so that it isn't measured.
        weights: the number of stored values.
    """
    token = _known.set(dim)
    begun = _restoring.set(True)
    try:
        with _HardlyDrawn(weights):
            yield
    finally:
        _known.reset(token)
        _restoring.reset(begun)


def is_restoring() -> bool:
    """Return whether a stored network is being built again."""
    return _restoring.get()


def known_dim() -> int | None:
    """Return the number of features inside `restored`, if known."""
    return _known.get()
