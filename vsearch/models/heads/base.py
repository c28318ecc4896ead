from abc import ABC, abstractmethod

from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Layers between the backbone's features and the embedding.

    A subclass keeps each constructor argument under the argument's name, so that a bundle can build
    it again.

    Attributes:
        dim: length of the embedding.
    """

    dim: int

    @abstractmethod
    def attach(self, features: int) -> None:
        """Make the layers for this number of features; called once, before other methods."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Return float (B, dim), not yet normalised, of features, float (B, features)."""


def require_width(name: str, width: int) -> None:
    """Check that a setting is a valid number of outputs of a layer.

    Raises:
        ValueError: it isn't; the message begins with the setting's name.
    """
    if width < 1:
        raise ValueError(f"{name}: it must be 1 or more, not {width}.")
