from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_known: ContextVar[int | None] = ContextVar("_known", default=None)


@contextmanager
def restored(dim: int | None) -> Iterator[None]:
    """Build networks whose stored weights are loaded afterwards: none are drawn, as `torch.nn.init` would.

    Drawing a ResNet-50's weights and embedding a black photo with it takes longer than loading it.

    Args:
        dim: of the features, where it is known, so that it isn't measured.
    """
    drawn = {name: kept for name, kept in vars(torch.nn.init).items() if name.endswith("_") and name[0] != "_"}
    token = _known.set(dim)
    for name in drawn:
        setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, kept in drawn.items():
            setattr(torch.nn.init, name, kept)
        _known.reset(token)


def known_dim() -> int | None:
    """Return the features' number within `restored`, where it is known."""
    return _known.get()
