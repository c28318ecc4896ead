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
    "onnx": ("model.onnx",),  # and model.onnx.data, unless the network is tiny
    "openvino": ("model.xml", "model.bin"),
}
# of exported models
INPUT = "squares"
OUTPUT = "embeddings"
POSITIONS = "positions"  # the second output of a network whose scores split over positions
METADATA = "preprocessing"
EXPORTS = "exports"  # a bundle's folder of them: in no manifest, each has its own JSON


class ExplainError(VsearchError):
    """The network's scores don't split over positions; the message says why."""


class Runtime(ABC):
    """Photos to embeddings, by one library.

    `embed` may be called from one thread at a time, `embed_positions` at any time.

    Attributes:
        name: of the library.
        precision: what it computes in.
        preprocessing: what makes a photo its input.
        dim: length of an embedding.
    """

    name: Name
    precision: Precision
    preprocessing: Preprocessing
    dim: int

    def embed(self, photos: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S); see `to_square`.

        Of each photo the mean over its views, if `preprocessing` has any.
        """
        return embed_views(self.embed_squares, photos, self.preprocessing.views)

    @abstractmethod
    def embed_squares(self, squares: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of squares, uint8 (B, 3, S, S), as they are."""

    @abstractmethod
    def embed_positions(self, photos: np.ndarray) -> np.ndarray:
        """Return each position's embedding, float32 (B, dim, h, w), of photos, as `embed` takes.

        Their mean over the positions is the photo's embedding before it gets unit length.

        Raises:
            ExplainError: the network has no such positions.
        """

    def use_one_view(self) -> bool:
        """Embed photos as they are, from now on: queries that search what all views made.

        Return whether that leaves any view out: what was calibrated with all then says nothing.
        """
        leaves_out = bool(self.preprocessing.views)
        self.preprocessing = replace(self.preprocessing, views=())
        return leaves_out

    def use_gpu(self) -> bool:
        """Compute on a GPU, if the library can and there is one; return whether it does."""
        return False

    @property
    def says(self) -> str:
        """How it computes, in a few words: `onnx float32`."""
        return f"{self.name} {self.precision}"
