import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """Generalized-mean pooling: `mean(x ** p) ** (1 / p)` over all positions.

    With p = 1 it is the average; with a large p it approaches the maximum.

    Radenović et al. 2018, "Fine-tuning CNN Image Retrieval with No Human Annotation", section 3.2.

    Args:
        p: the exponent, above 0.
        trainable: learn the exponent, starting at `p`.
        eps: smaller values become this one; roots need values above 0.
    """

    def __init__(self, p: float = 3.0, trainable: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        if p <= 0:
            raise ValueError(f"GeM: p must be above 0, got {p}.")
        self.p = p
        self.trainable = trainable
        self.eps = eps
        self.exponent = nn.Parameter(torch.tensor(float(p)), requires_grad=trainable)

    def forward(self, features: Tensor) -> Tensor:
        """Return float (B, C, 1, 1) of features, float (B, C, H, W)."""
        with torch.autocast(features.device.type, enabled=False):  # powers and roots need float32
            powers = features.float().clamp(min=self.eps).pow(self.exponent)
            return powers.mean((-2, -1), keepdim=True).pow(1 / self.exponent).to(features.dtype)
