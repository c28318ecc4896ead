from typing import Any

from torch import Tensor, nn


class ClassifierLoss(nn.Module):
    """Cross-entropy of a linear classifier, which is dropped after training.

    The classifier sees `scale * embedding`. For a unit vector, a new linear layer's logits stay
    within about ±0.6: their softmax is nearly uniform even for a good embedding, and training
    mostly increases the layer's weights (Wang et al. 2017, "NormFace: L2 Hypersphere Embedding for
    Face Verification", Proposition 2).

    Args:
        num_classes: number of labels; filled in from the catalog.
        embedding_size: length of the embedding; filled in from the model.
        scale: length of the vectors that the classifier sees, above 0.
        label_smoothing: share of the target spread over all labels, 0 to below 1.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        scale: float = 16.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale: it must be above 0, not {scale}.")
        if not 0 <= label_smoothing < 1:
            reason = f"it must be from 0 to below 1, not {label_smoothing}."
            raise ValueError(f"label_smoothing: {reason}")
        self.scale = scale
        self.classifier = nn.Linear(embedding_size, num_classes)
        self.cross_entropy = nn.CrossEntropyLoss(label_smoothing=label_smoothing)

    def forward(self, embeddings: Tensor, labels: Tensor, mined: Any = None) -> Tensor:
        """Return the mean cross-entropy of unit vectors (B, dim) with label codes (B,)."""
        if mined is not None:
            raise ValueError("ClassifierLoss can't use a miner: set `miner: null`.")
        return self.cross_entropy(self.classifier(self.scale * embeddings), labels)
