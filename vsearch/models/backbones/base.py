from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn

from vsearch.class_paths import describe
from vsearch.data.photos import Preprocessing
from vsearch.models.freezing import find, hold_frozen, stages
from vsearch.models.text.towers import Words


class Backbone(nn.Module, ABC):
    """A network from photos (B, 3, H, W) to features (B, dim), not yet of unit length.

    A subclass sets the attributes below and implements `forward`. It keeps each constructor
    argument under the argument's name (`self.depth = depth`), so that a bundle can build it again.
    A bundle stores an argument named `weights` as null, because it has its own weights.

    Attributes:
        dim: length of the feature vector.
        preprocessing: how a photo becomes this network's input.
        origin: where the initial weights come from, as reports show it; "random" if drawn.
        wanted: the origin that was unavailable, so that `origin` is "random"; else empty.
        removed: name and number of parameters of the removed classifier, if known.
        words: the text tower that belongs to the network, if it is kept. A restored backbone has
            none: a bundle opens it separately.
    """

    dim: int
    preprocessing: Preprocessing
    origin: str
    wanted: str = ""
    removed: tuple[str, int] | None = None
    words: Words | None = None

    @abstractmethod
    def forward(self, photos: Tensor) -> Tensor:
        """Return features, float (B, dim), of normalised photos, float (B, 3, H, W)."""

    def feature_map(self, photos: Tensor) -> Tensor | None:
        """Return float (B, dim, h, w) whose mean over positions is, in eval mode, what `forward`
        returns.

        None: there is no such map. `vsearch.models.score_maps` uses it to show where photos are
        alike, and checks the mean.
        """
        return None

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode; frozen parts stay in eval mode."""
        super().train(mode)
        hold_frozen(self)
        return self

    @property
    def stages(self) -> list[str]:
        """Names, as `freeze` takes them, of the parts of the network `self.model`, input first."""
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
