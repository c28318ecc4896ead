import inspect
from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn

from vsearch.freezing import hold_frozen
from vsearch.images import Preprocessing


class Backbone(nn.Module, ABC):
    """A network from photos (B, 3, H, W) to features (B, dim); MetricLearner normalises them to unit length.

    A subclass sets the attributes below and implements `forward`. It keeps each constructor argument under the
    argument's own name (`self.depth = depth`), so that a bundle can build it again. An argument called `weights`
    is stored as null there: a bundle brings its own.

    Attributes:
        dim: length of the feature vector.
        preprocessing: how a photo becomes this network's input.
        origin: where the initial weights come from, as reports show it; "random" when they were drawn.
    """

    dim: int
    preprocessing: Preprocessing
    origin: str

    @abstractmethod
    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode; what is frozen stays in eval mode."""
        super().train(mode)
        hold_frozen(self)
        return self

    def spec(self) -> dict[str, Any]:
        """Return `class_path` and `init_args` that build this architecture again, without weights."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "weights"]
        lost = [name for name in names if not hasattr(self, name)]
        if lost:
            raise AttributeError(f"{type(self).__name__} must keep its constructor arguments {lost} as attributes.")
        arguments = {name: getattr(self, name) for name in names}
        if "weights" in inspect.signature(type(self)).parameters:
            arguments["weights"] = None
        return {"class_path": f"{type(self).__module__}.{type(self).__qualname__}", "init_args": arguments}
