from torch import Tensor, nn

from vsearch.models.heads.base import Head, require_width


class LinearHead(Head):
    """One linear layer: a shorter embedding, and something to train on a frozen backbone.

    Args:
        dim: length of the embedding.
    """

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        require_width("dim", dim)
        self.dim = dim

    def attach(self, features: int) -> None:
        """Make the layer."""
        self.layer = nn.Linear(features, self.dim)

    def forward(self, features: Tensor) -> Tensor:
        """Return float (B, dim) of features, float (B, features)."""
        return self.layer(features)
