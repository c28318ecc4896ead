from torch import Tensor, nn

from vsearch.models.heads.base import Head, require_width


class MLPHead(Head):
    """Two linear layers with BatchNorm and ReLU between them.

    Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations". There
    the head is dropped after training; here search uses it.

    Args:
        dim: length of the embedding.
        hidden: width between the layers; null takes the number of features.
    """

    def __init__(self, dim: int = 256, hidden: int | None = None) -> None:
        super().__init__()
        require_width("dim", dim)
        if hidden is not None:
            require_width("hidden", hidden)
        self.dim = dim
        self.hidden = hidden

    def attach(self, features: int) -> None:
        """Make the layers."""
        width = self.hidden or features
        self.layers = nn.Sequential(
            nn.Linear(features, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, self.dim),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return float (B, dim) of features, float (B, features)."""
        return self.layers(features)
