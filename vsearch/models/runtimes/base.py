from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

import numpy as np

from vsearch.data.photos import Preprocessing
from vsearch.data.views import embed_views
from vsearch.errors import VsearchError

Name = Literal["torch", "onnx", "openvino"]
Precision = Literal["float32", "bfloat16"]
FILES: dict[Name, tuple[str, ...]] = {
    "onnx": ("model.onnx",),  # and model.onnx.data, if the network isn't tiny
    "openvino": ("model.xml", "model.bin"),
}
# of exported models
INPUT = "squares"
OUTPUT = "embeddings"
POSITIONS = "positions"  # the second output of a network whose scores split over positions
METADATA = "preprocessing"
EXPORTS = "exports"  # a bundle's folder of exports: not in its manifest, each has its own JSON


class ExplainError(VsearchError):
    """The network's scores don't split over positions; the message says why."""


class Runtime(ABC):
    """Computes embeddings of photos with one library.

    Only one thread at a time may call `embed`; `embed_positions` may be called at any time.

    Attributes:
        name: name of the library.
        precision: the number type that it computes in.
        preprocessing: how a photo becomes its input.
        dim: length of an embedding.
    """

    name: Name
    precision: Precision
    preprocessing: Preprocessing
    dim: int

    def embed(self, photos: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S); see `to_square`.

        If `preprocessing` has views, each is the mean over the views of a photo.
        """
        return embed_views(self.embed_squares, photos, self.preprocessing.views)

    @abstractmethod
    def embed_squares(self, squares: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of squares, uint8 (B, 3, S, S), without views."""

    @abstractmethod
    def embed_positions(self, photos: np.ndarray) -> np.ndarray:
        """Return each position's embedding, float32 (B, dim, h, w), of photos as for `embed`.

        Their mean over the positions is the photo's embedding before normalisation.

        Raises:
            ExplainError: the network has no such positions.
        """

    def use_one_view(self) -> bool:
        """From now on, embed photos without views, as queries of an index made with all views.

        Return whether that omits a view; then a calibration with all views doesn't apply.
        """
        leaves_out = bool(self.preprocessing.views)
        self.preprocessing = replace(self.preprocessing, views=())
        return leaves_out

    def use_gpu(self) -> bool:
        """Compute on a GPU, if there is one and the library can; return whether it does."""
        return False

    @property
    def says(self) -> str:
        """Library and precision: `onnx float32`."""
        return f"{self.name} {self.precision}"
