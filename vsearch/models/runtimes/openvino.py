from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsearch.models.runtimes.base import FILES, Engine, Precision, require


class OpenvinoEngine(Engine):
    """OpenVINO, on the CPU, with as many threads as PyTorch has.

    Args:
        folder: an export's.
        precision: what to compute in, float32 or bfloat16.

    Raises:
        MissingPackage: openvino is not installed.
    """

    name = "openvino"

    def __init__(self, folder: Path, precision: Precision = "float32") -> None:
        openvino = require("openvino", "openvino")
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = openvino.Core().compile_model(folder / FILES["openvino"][0], "CPU", config)
        self.request = model.create_infer_request()
        self.precision = precision

    def embed(self, squares: Tensor) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S)."""
        (vectors,) = self.request.infer([squares.numpy()]).values()
        return np.array(vectors)  # a copy: the request writes into its own memory again
