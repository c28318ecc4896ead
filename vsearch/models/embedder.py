from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from vsearch.data.photos import Preprocessing
from vsearch.data.views import embed_views
from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.cut import Cut, cut
from vsearch.models.heads.base import Head
from vsearch.models.normalising import normalise, to_unit_length
from vsearch.models.product_convolution import use_products


class Embedder(nn.Module):
    """Photos to embeddings: backbone, optional head, unit length. The same in training and serving.

    Args:
        backbone: turns photos into features.
        head: turns features into embeddings; without one the features are the embedding.
    """

    def __init__(self, backbone: Backbone, head: Head | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        if head is not None and backbone.words is not None:
            raise ValueError(
                "head: it leads to another space than the texts', so words would find nothing. "
                "Set `head: null`, or `text: false` of the backbone."
            )
        if head is not None:
            head.attach(backbone.dim)

    @property
    def dim(self) -> int:
        """Length of the embedding."""
        return self.backbone.dim if self.head is None else self.head.dim

    @property
    def preprocessing(self) -> Preprocessing:
        """How a photo becomes the network's input."""
        return self.backbone.preprocessing

    @cached_property
    def cut(self) -> Cut | None:
        """The backbone's frozen first layers and the rest; None if there are none or it can't be
        cut.
        """
        return cut(self.backbone)

    def use_products(self) -> None:
        """From now on, compute trained convolutions as matrix products where that is quicker."""
        use_products(self)
        self.__dict__.pop("cut", None)  # it holds the replaced layers

    def forward(self, photos: Tensor) -> Tensor:
        """Return L2-normalised embeddings, float32 (B, dim), of normalised photos, float (B, 3, S,
        S).
        """
        return self.from_features(self.backbone(photos))

    def embed_photos(self, photos: Tensor) -> Tensor:
        """Return the embeddings of photos (B, 3, S, S), either uint8 or normalised float."""
        if photos.dtype == torch.uint8:
            photos = normalise(photos, self.preprocessing)
        return self(photos)

    def embed_views(self, photos: Tensor) -> Tensor:
        """Return the embeddings of photos, uint8 (B, 3, S, S), that are stored and searched: means
        over the views of the preprocessing.
        """
        if not self.preprocessing.views:
            return self.embed_photos(photos)

        def embed(squares: np.ndarray) -> np.ndarray:
            return self.embed_photos(torch.from_numpy(squares).to(photos.device)).cpu().numpy()

        made = embed_views(embed, photos.cpu().numpy(), self.preprocessing.views)
        return torch.from_numpy(made)

    def embed_maps(self, maps: Tensor) -> Tensor:
        """Return the embeddings of maps, float (B, C, h, w), from the trunk of `cut`.

        Raises:
            ValueError: the backbone can't be cut.
        """
        if self.cut is None:
            raise ValueError(
                f"{type(self.backbone).__name__} has no frozen first layers: it takes no maps."
            )
        if not torch.is_autocast_enabled(maps.device.type):
            maps = maps.to(next(self.parameters()).dtype)
        return self.from_features(self.cut.rest(maps))

    def from_features(self, features: Tensor) -> Tensor:
        """Return L2-normalised embeddings, float32 (B, dim), of the backbone's features."""
        values = features if self.head is None else self.head(features)
        return to_unit_length(values)
