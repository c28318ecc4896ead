from collections.abc import Iterable

from torch import nn

from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.inputs import measured_dim
from vsearch.models.backbones.weights import Unavailable, freeze_trained


class PretrainedBackbone(Backbone):
    """A library's network, in `model`, with trained or random weights."""

    model: nn.Module

    def _complete(self, name: str, freeze: Iterable[str], unavailable: Unavailable) -> None:
        """Keep the arguments, measure `dim` and freeze; `model` and `preprocessing` must be set."""
        self.name = name
        self.image_size = self.preprocessing.size
        self.weights_unavailable = unavailable
        self.dim = measured_dim(self, name, self.image_size)
        self.freeze = freeze_trained(self.model, freeze, self.origin)
