import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vsearch.models.runtimes.base import INPUT, require

BATCH = 10


def quantise(file: Path, squares: np.ndarray) -> None:
    """Turn an ONNX file's convolutions and matrix products into 8-bit ones, in place.

    By ONNX Runtime's static quantisation: weights per channel, symmetric; the inputs' ranges are
    those that were seen with the photos (minimum and maximum).

    Args:
        file: of float32.
        squares: photos to see the ranges with, uint8 (n, 3, S, S).

    Raises:
        MissingPackage: onnxruntime is not installed.
    """
    require("onnxruntime", "onnx")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as temporary:
        simplified = Path(temporary) / "simplified.onnx"
        quant_pre_process(
            file, simplified, skip_symbolic_shape=True
        )  # symbolic shapes fail on the norm's
        quantization.quantize_static(
            simplified,
            file,
            _reader(quantization, squares),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


def _reader(quantization: Any, squares: np.ndarray) -> Any:
    class Photos(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            starts = range(0, len(squares), BATCH)
            self.batches = iter([squares[start : start + BATCH] for start in starts])

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    return Photos()
