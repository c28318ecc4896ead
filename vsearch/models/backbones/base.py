from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn

from vsearch.class_paths import describe
from vsearch.data.photos import Preprocessing
from vsearch.models.freezing import find, hold_frozen, stages


class Backbone(nn.Module, ABC):
    """A network from photos (B, 3, H, W) to features (B, dim), which are not yet of unit length.

    A subclass sets the attributes below and implements `forward`. It keeps each constructor
    argument under the argument's own name (`self.depth = depth`), so that a bundle can build it
    again. An argument called `weights` is stored as null there: a bundle brings its own.

    Attributes:
        dim: length of the feature vector.
        preprocessing: how a photo becomes this network's input.
        origin: where the initial weights come from, as reports show it; "random" if drawn.
        wanted: the origin that couldn't be had, so that `origin` is "random"; else empty.
        removed: name and number of parameters of the classifier that was taken off, if known.
    """

    dim: int
    preprocessing: Preprocessing
    origin: str
    wanted: str = ""
    removed: tuple[str, int] | None = None

    @abstractmethod
    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""

    def feature_map(self, photos: Tensor) -> Tensor | None:
        """Return float (B, dim, h, w) whose mean over positions is, in eval mode, what `forward`
        returns.

        None: there is no such map. With it, `vsearch.models.score_maps` shows where photos are
        alike; it checks the mean.
        """
        return None

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode; what is frozen stays in eval mode."""
        super().train(mode)
        hold_frozen(self)
        return self

    @property
    def stages(self) -> list[str]:
        """The network's parts by the names that `freeze` takes, input first; the network stands in
        `self.model`.
        """
        return stages(getattr(self, "model", self))

    def weights_of(self, name: str, setting: str) -> list[nn.Parameter]:
        """Return the parameters of a part by the name that `freeze` takes.

        Raises:
            ValueError: there is no such part; the message begins with `setting`.
        """
        (part,) = find(getattr(self, "model", self), [name], setting)
        return [part] if isinstance(part, nn.Parameter) else list(part.parameters())

    def spec(self) -> dict[str, Any]:
        """Return `class_path` and `init_args` that build this architecture, without weights."""
        return describe(self)
