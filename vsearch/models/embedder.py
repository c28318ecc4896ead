from functools import cached_property

import torch
from torch import Tensor, nn

from vsearch.data.photos import Preprocessing
from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.cut import Cut, cut
from vsearch.models.heads.base import Head
from vsearch.models.normalising import normalise

PHOTO_CHANNELS = 3


class Embedder(nn.Module):
    """Photos to embeddings: backbone, head if there is one, unit length. The same in training and
    in serving.

    Args:
        backbone: photos to features.
        head: features to embeddings; without one the features are the embedding.
    """

    def __init__(self, backbone: Backbone, head: Head | None = None) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        if head is not None:
            head.attach(backbone.dim)

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return self.backbone.dim if self.head is None else self.head.dim

    @property
    def preprocessing(self) -> Preprocessing:
        """How a photo becomes the input."""
        return self.backbone.preprocessing

    @cached_property
    def cut(self) -> Cut | None:
        """The backbone's frozen beginning and the rest; None where it has none, or can't be cut."""
        return cut(self.backbone)

    def forward(self, photos: Tensor) -> Tensor:
        """Return embeddings, float32 (B, dim), L2-normalised, of normalised photos, float (B, 3, S,
        S).
        """
        return self._from_features(self.backbone(photos))

    def from_batch(self, inputs: Tensor) -> Tensor:
        """Return the embeddings of what a fit's loaders give: photos, or maps that the trunk of
        `cut` made of them.

        Args:
            inputs: photos, uint8 (B, 3, S, S), which are normalised here, or float, which are
                normalised already; or maps, float (B, C, h, w) with C other than 3.
        """
        if inputs.dtype == torch.uint8:
            inputs = normalise(inputs, self.preprocessing)
        if inputs.shape[1] == PHOTO_CHANNELS:
            return self(inputs)
        if self.cut is None:
            raise ValueError(
                f"{type(self.backbone).__name__} has no frozen beginning: it takes no "
                f"{inputs.shape}."
            )
        mixed = torch.is_autocast_enabled(inputs.device.type)
        return self._from_features(
            self.cut.rest(inputs if mixed else inputs.to(next(self.parameters()).dtype))
        )

    def _from_features(self, features: Tensor) -> Tensor:
        values = features if self.head is None else self.head(features)
        # bfloat16 is too coarse for unit length; random EfficientNets make values of 1e-13, below
        # the usual eps
        return nn.functional.normalize(values.float(), dim=1, eps=1e-30)
