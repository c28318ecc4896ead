import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from vsearch.models.embedder import Embedder
from vsearch.models.normalising import normalise
from vsearch.models.positions import can_split, of_maps
from vsearch.models.runtimes.base import FILES, INPUT, OUTPUT, POSITIONS
from vsearch.models.text.encoder import FILE as TEXT_FILE
from vsearch.models.text.encoder import INPUT as TEXT_INPUT
from vsearch.models.text.towers import Words
from vsearch.optional_packages import require

ROWS = 2  # photos to trace with; with a single one the exporter would fix the batch size


class FromSquares(nn.Module):
    """A network that normalises photos itself; it also returns positions if its scores split."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder
        self.outputs = [OUTPUT, POSITIONS] if can_split(embedder) else [OUTPUT]

    def forward(self, squares: Tensor) -> tuple[Tensor, ...]:
        """Return unit vectors, float32 (B, dim), of photos, uint8 (B, 3, S, S), and maybe each
        position's embedding, float32 (B, dim, h, w).
        """
        photos = normalise(squares, self.embedder.preprocessing)
        if POSITIONS not in self.outputs:
            return (self.embedder(photos),)
        maps = self.embedder.backbone.feature_map(photos)
        assert maps is not None  # else scores didn't split
        # the mean of the maps is what the backbone returns: the graph has the network once
        return self.embedder.from_features(maps.mean((2, 3))), of_maps(self.embedder, maps)


def to_onnx(embedder: Embedder, folder: Path, metadata: dict[str, Any]) -> Path:
    """Write a network, normalisation included, as ONNX for batches of any size; return the file.

    Args:
        embedder: in eval mode, on the CPU.
        folder: an existing folder.
        metadata: kept in the file, each value as JSON.
    """
    path = folder / FILES["onnx"][0]
    network = FromSquares(embedder).eval()
    size = embedder.preprocessing.size
    squares = torch.zeros((ROWS, 3, size, size), dtype=torch.uint8)
    _write(network, squares, path, INPUT, network.outputs, metadata)
    return path


def text_to_onnx(words: Words, folder: Path) -> None:
    """Write a text tower as ONNX for batches of any size."""
    tokens = torch.from_numpy(words.tokenizer(["a"] * ROWS))
    _write(words.tower, tokens, folder / TEXT_FILE, TEXT_INPUT, [OUTPUT], {})


def _write(
    network: nn.Module,
    example: Tensor,
    path: Path,
    input_name: str,
    output_names: list[str],
    metadata: dict[str, Any],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's deprecation warnings
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=[input_name],
            output_names=output_names,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )

    made = onnx.load(path)
    texts = {name: json.dumps(value) for name, value in metadata.items()}
    onnx.helper.set_model_props(made, texts)
    # weights in a separate file are mapped: opened at once, and not copied
    weights = path.with_name(f"{path.name}.data")
    onnx.save(made, path, save_as_external_data=True, location=weights.name)
    if weights.exists():
        shutil.copymode(path, weights)  # onnx makes it readable only for its owner


def to_openvino(file: Path, folder: Path, metadata: dict[str, Any]) -> None:
    """Write an ONNX file in OpenVINO's format, weights unchanged, each metadata value as JSON.

    OpenVINO's converter for PyTorch models isn't used, because it sends telemetry.

    Raises:
        MissingPackage: openvino isn't installed.
    """
    openvino = require("openvino", "openvino")
    model = openvino.Core().read_model(file)
    for name, value in metadata.items():
        model.set_rt_info(json.dumps(value), ["vsearch", name])
    openvino.save_model(model, folder / FILES["openvino"][0], compress_to_fp16=False)
