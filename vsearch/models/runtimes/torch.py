from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from vsearch.models.embedder import Embedder
from vsearch.models.normalising import normalise
from vsearch.models.positions import positions
from vsearch.models.runtimes.base import Runtime
from vsearch.models.runtimes.folding import NO_TRACING, fold


class TorchRuntime(Runtime):
    """PyTorch, with the bundle's network.

    Args:
        embedder: in eval mode; it computes on its device.
        bfloat16: compute in bfloat16, with a copy of the network; vectors are still float32.
        threads: PyTorch's threads, for the whole process; 0: unchanged.
    """

    name = "torch"

    def __init__(self, embedder: Embedder, bfloat16: bool = False, threads: int = 0) -> None:
        self.preprocessing = embedder.preprocessing
        self.dim = embedder.dim
        self.precision = "bfloat16" if bfloat16 else "float32"
        self.network = in_bfloat16(embedder) if bfloat16 else embedder
        if threads:
            torch.set_num_threads(threads)

    def use_gpu(self) -> bool:
        """Move the network to a GPU, if there is one; return whether it did."""
        if not gpu_is_there():
            return False
        self.network.to("cuda")
        return True

    def embed_squares(self, squares: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of squares, uint8 (B, 3, S, S); see `Runtime`."""
        with NO_TRACING, torch.inference_mode():
            return self.network(self._inputs(squares)).cpu().numpy()

    def embed_positions(self, photos: np.ndarray) -> np.ndarray:
        """Return each position's embedding, float32 (B, dim, h, w); see `Runtime`."""
        with NO_TRACING, torch.inference_mode():
            return positions(self.network, self._inputs(photos)).float().cpu().numpy()

    def _inputs(self, photos: np.ndarray) -> Tensor:
        squares = torch.from_numpy(photos)
        first = next(self.network.parameters(), None)
        if first is not None:
            squares = squares.to(first.device)
        inputs = normalise(squares, self.preprocessing)
        if self.precision == "bfloat16":
            inputs = inputs.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
        return inputs


def gpu_is_there() -> bool:
    """Return whether PyTorch has a GPU."""
    return torch.cuda.is_available()


def in_bfloat16(embedder: Embedder) -> Embedder:
    """Return a copy that takes photos in bfloat16, computes in it, and returns float32 vectors.

    Its BatchNorms are folded first, which is quicker and rounds less.
    """
    made = deepcopy(embedder)
    fold(made)
    return made.to(dtype=torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
