from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from torch import Tensor

from vsearch import optional_packages as extras
from vsearch.errors import BundleError

Name = Literal["torch", "onnx", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]
FILES: dict[Name, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}
INPUT, OUTPUT = "squares", "embeddings"  # of exported models
EXPORTS = "exports"  # a bundle's folder of them: in no manifest, each has its own JSON


class Engine(ABC):
    """Photos to embeddings, by one library. Safe to call from one thread at a time.

    Attributes:
        name: of the library.
        precision: what it computes in; with int8, what can't be is float32 or bfloat16.
    """

    name: Name
    precision: Precision

    @abstractmethod
    def embed(self, squares: Tensor) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S), as
        `images.to_square` makes them.
        """

    @property
    def says(self) -> str:
        """How it computes, in a few words: `onnx float32`."""
        return f"{self.name} {self.precision}"


def require(module: str, extra: str) -> Any:
    """Return a package that an engine needs.

    Raises:
        MissingPackage: it isn't installed; says which extra brings it.
    """
    try:
        return extras.require(module, extra)
    except ImportError as error:
        raise MissingPackage(str(error)) from error


class MissingPackage(BundleError):
    """A package that an engine needs is not installed."""
