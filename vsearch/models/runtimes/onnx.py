import json
import os
from pathlib import Path

import numpy as np

from vsearch.data.photos import Preprocessing
from vsearch.models.processor import usual_threads
from vsearch.models.runtimes.base import (
    FILES,
    INPUT,
    METADATA,
    OUTPUT,
    POSITIONS,
    ExplainError,
    Precision,
    Runtime,
)

# turns off ONNX Runtime's telemetry; it reads this when imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class OnnxRuntime(Runtime):
    """ONNX Runtime, on the CPU.

    Args:
        folder: the folder of an export.
        precision: float32.
        threads: 0: as many as PyTorch would use.
        for_few: for a few photos: the file is mapped and its weights aren't rearranged. It opens in
            a tenth of the time, but each photo takes a sixth longer.
    """

    name = "onnx"

    def __init__(
        self,
        folder: Path,
        precision: Precision = "float32",
        threads: int = 0,
        for_few: bool = False,
    ) -> None:
        import onnxruntime  # importing it takes most of a second

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usual_threads()
        options.log_severity_level = 3  # errors only
        if for_few:
            level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            options.graph_optimization_level = level
        path = folder / FILES["onnx"][0]
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.precision = precision

        metadata = self.session.get_modelmeta().custom_metadata_map
        self.preprocessing = Preprocessing(**json.loads(metadata[METADATA]))
        self.dim = self.session.get_outputs()[0].shape[1]

    def embed_squares(self, squares: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of squares, uint8 (B, 3, S, S); see `Runtime`."""
        (vectors,) = self.session.run([OUTPUT], {INPUT: squares})
        return np.asarray(vectors)

    def embed_positions(self, photos: np.ndarray) -> np.ndarray:
        """Return each position's embedding, float32 (B, dim, h, w); see `Runtime`."""
        if POSITIONS not in [output.name for output in self.session.get_outputs()]:
            raise ExplainError("the export has no positions: this network's scores don't split")
        (positions,) = self.session.run([POSITIONS], {INPUT: photos})
        return np.asarray(positions)
