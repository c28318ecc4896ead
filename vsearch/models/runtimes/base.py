from abc import ABC, abstractmethod
from typing import Literal

import numpy as np

from vsearch.data.photos import Preprocessing

Name = Literal["torch", "onnx", "openvino"]
Precision = Literal["float32", "bfloat16"]
FILES: dict[Name, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}
# of exported models
INPUT = "squares"
OUTPUT = "embeddings"
METADATA = "preprocessing"
EXPORTS = "exports"  # a bundle's folder of them: in no manifest, each has its own JSON


class Runtime(ABC):
    """Photos to embeddings, by one library. Safe to call from one thread at a time.

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

    @abstractmethod
    def embed(self, photos: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S); see `to_square`."""

    def use_gpu(self) -> bool:
        """Compute on a GPU, if the library can and there is one; return whether it does."""
        return False

    @property
    def says(self) -> str:
        """How it computes, in a few words: `onnx float32`."""
        return f"{self.name} {self.precision}"
