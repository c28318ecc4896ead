import json
from pathlib import Path

import numpy as np

from vsearch.data.photos import Preprocessing
from vsearch.models.processor import usual_threads
from vsearch.models.runtimes.base import (
    FILES,
    METADATA,
    OUTPUT,
    POSITIONS,
    ExplainError,
    Precision,
    Runtime,
)
from vsearch.optional_packages import require


class OpenvinoRuntime(Runtime):
    """OpenVINO, on the CPU.

    Args:
        folder: the folder of an export.
        precision: what to compute in, float32 or bfloat16.
        threads: 0: as many as PyTorch would use.

    Raises:
        MissingPackage: openvino isn't installed.
    """

    name = "openvino"

    def __init__(self, folder: Path, precision: Precision = "float32", threads: int = 0) -> None:
        library = require("openvino", "openvino")
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": threads or usual_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        core = library.Core()
        model = core.read_model(folder / FILES["openvino"][0])
        self.compiled = core.compile_model(model, "CPU", config)
        self.request = self.compiled.create_infer_request()
        self.precision = precision

        kept = model.get_rt_info(["vsearch", METADATA]).astype(str)
        self.preprocessing = Preprocessing(**json.loads(kept))
        self.dim = model.output(0).partial_shape[1].get_length()

    def embed_squares(self, squares: np.ndarray) -> np.ndarray:
        """Return unit vectors, float32 (B, dim), of squares, uint8 (B, 3, S, S); see `Runtime`."""
        vectors = self.request.infer([squares])[self.compiled.output(OUTPUT)]
        return np.array(vectors)  # a copy, since the request reuses its memory

    def embed_positions(self, photos: np.ndarray) -> np.ndarray:
        """Return each position's embedding, float32 (B, dim, h, w); see `Runtime`."""
        if POSITIONS not in [name for output in self.compiled.outputs for name in output.names]:
            raise ExplainError("the export has no positions: this network's scores don't split")
        request = (
            self.compiled.create_infer_request()
        )  # separate, since `embed` may run at the same time
        return np.array(request.infer([photos])[self.compiled.output(POSITIONS)])
