from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsearch.models.runtimes.base import FILES, INPUT, OUTPUT, Engine, Precision, require


class OnnxEngine(Engine):
    """ONNX Runtime, on the CPU, with as many threads as PyTorch has.

    Args:
        folder: an export's.
        precision: of the export, float32 or int8.

    Raises:
        MissingPackage: onnxruntime is not installed.
    """

    name = "onnx"

    def __init__(self, folder: Path, precision: Precision = "float32") -> None:
        runtime = require("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        path, providers = folder / FILES["onnx"][0], ["CPUExecutionProvider"]
        self.session = runtime.InferenceSession(path, options, providers=providers)
        self.precision = precision

    def embed(self, squares: Tensor) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S)."""
        (vectors,) = self.session.run([OUTPUT], {INPUT: squares.numpy()})
        return np.asarray(vectors)
