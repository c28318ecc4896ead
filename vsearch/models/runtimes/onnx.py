import json
from pathlib import Path

import numpy as np

from vsearch.data.photos import Preprocessing
from vsearch.models.processor import usual_threads
from vsearch.models.runtimes.base import FILES, INPUT, METADATA, OUTPUT, Precision, Runtime
from vsearch.optional_packages import require


class OnnxRuntime(Runtime):
    """ONNX Runtime, on the CPU.

    Args:
        folder: an export's.
        precision: float32.
        threads: 0: as many as PyTorch would take.

    Raises:
        MissingPackage: onnxruntime is not installed.
    """

    name = "onnx"

    def __init__(self, folder: Path, precision: Precision = "float32", threads: int = 0) -> None:
        library = require("onnxruntime", "onnx")
        options = library.SessionOptions()
        options.intra_op_num_threads = threads or usual_threads()
        options.log_severity_level = 3  # errors
        path = folder / FILES["onnx"][0]
        self.session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.precision = precision

        metadata = self.session.get_modelmeta().custom_metadata_map
        self.preprocessing = Preprocessing(**json.loads(metadata[METADATA]))
        self.dim = self.session.get_outputs()[0].shape[1]

    def embed(self, photos: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S)."""
        (vectors,) = self.session.run([OUTPUT], {INPUT: photos})
        return np.asarray(vectors)
