from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from vsearch.data.photos import normalise
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.base import Engine
from vsearch.models.runtimes.folding import fold


class TorchEngine(Engine):
    """PyTorch, with the bundle's own network.

    Args:
        embedder: in eval mode. Photos must be on its device.
        bfloat16: compute in bfloat16, with a copy of the network; vectors are float32 all the same.
    """

    name = "torch"

    def __init__(self, embedder: Embedder, bfloat16: bool = False) -> None:
        self.preprocessing = embedder.preprocessing
        self.precision = "bfloat16" if bfloat16 else "float32"
        self.network = in_bfloat16(embedder) if bfloat16 else embedder

    def embed(self, squares: Tensor) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S)."""
        with torch.inference_mode():
            photos = normalise(squares, self.preprocessing)
            if self.precision == "bfloat16":
                photos = photos.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
            return self.network(photos).cpu().numpy()


def in_bfloat16(embedder: Embedder) -> Embedder:
    """Return a copy that takes photos in bfloat16, computes in it, and returns float32 unit
    vectors.

    Its BatchNorms are folded first: quicker, and there is less to round.
    """
    made = deepcopy(embedder)
    fold(made)
    return made.to(dtype=torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
