import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vsearch.models.embedder import Embedder
from vsearch.models.normalising import normalise
from vsearch.models.runtimes.base import FILES, INPUT, OUTPUT, require

ROWS = 2  # of the photos it is traced with; of one row the exporter would make a constant


class FromSquares(nn.Module):
    """A network that normalises photos by itself: uint8 (B, 3, S, S), as `images.to_square` makes
    them, to vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, squares: Tensor) -> Tensor:
        """Return unit vectors, float32 (B, dim)."""
        vectors: Tensor = self.embedder(normalise(squares, self.embedder.preprocessing))
        return vectors


def to_onnx(embedder: Embedder, folder: Path, metadata: dict[str, Any], extra: str) -> Path:
    """Write a network as ONNX, its normalisation included, for batches of any size; return the
    file.

    Args:
        embedder: in eval mode, on the CPU.
        folder: an existing one.
        metadata: is kept in the file, each value as JSON.
        extra: what to install if something is missing.

    Raises:
        MissingPackage: onnx or onnxscript is not installed.
    """
    model, path = require("onnx", extra), folder / FILES["onnx"][0]
    require("onnxscript", extra)
    size = embedder.preprocessing.size
    squares = torch.zeros((ROWS, 3, size, size), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts, for their next versions
        torch.onnx.export(
            FromSquares(embedder).eval(),
            (squares,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    made = model.load(path)
    model.helper.set_model_props(
        made, {name: json.dumps(value) for name, value in metadata.items()}
    )
    model.save(made, path)
    return path


def to_openvino(file: Path, folder: Path, metadata: dict[str, Any]) -> None:
    """Write an ONNX file as OpenVINO reads it.

    Not by OpenVINO's own converter of PyTorch models: that one reports each use to its makers.

    Raises:
        MissingPackage: openvino is not installed.
    """
    save(require("openvino", "openvino").Core().read_model(file), folder, metadata)


def save(model: Any, folder: Path, metadata: dict[str, Any]) -> None:
    """Write OpenVINO's model, weights as they are, with metadata, each value as JSON."""
    for name, value in metadata.items():
        model.set_rt_info(json.dumps(value), ["vsearch", name])
    require("openvino", "openvino").save_model(
        model, folder / FILES["openvino"][0], compress_to_fp16=False
    )
