import torch
from torch import Tensor, nn

from vsearch.models.heads.base import Head
from vsearch.models.normalising import to_unit_length


class AdaptedHead(Head):
    """A linear layer after finished embeddings, fitted by an `Adaptation`.

    Args:
        dim: length of the embedding.
        head: the head of the embeddings that the layer was fitted on; None: they have no head.
    """

    def __init__(self, dim: int, head: Head | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.head = head

    @classmethod
    def of(cls, layer: nn.Linear, head: Head | None) -> "AdaptedHead":
        """Return one with a fitted layer, after a head that is already attached."""
        adapted = cls(layer.out_features, head)
        adapted.layer = layer
        return adapted

    def attach(self, features: int) -> None:
        """Make the layers."""
        if self.head is not None:
            self.head.attach(features)
            features = self.head.dim
        self.layer = nn.Linear(features, self.dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return float (B, dim) of features, float (B, features)."""
        values = features if self.head is None else self.head(features)
        unit = to_unit_length(values)
        with torch.autocast(unit.device.type, enabled=False):  # bfloat16 loses small differences
            return self.layer(unit)
