"""Photos per second from JPEG files to embeddings: vsearch against common scripts, on the same
photos, in turn.

    python -m benchmarks.embedding PHOTO_FOLDER BUNDLE [--photos 1024] [--rounds 3]

BUNDLE is a run's with a ResNet-50; all contenders use its weights. PHOTO_FOLDER holds .jpg files.
The contenders:

    loop      a DataLoader with two workers, PIL, float32: what tutorials show
    timm      timm's ResNet-50 without classifier and timm's own transform, the same DataLoader
    torch     vsearch, PyTorch; bfloat16 where the CPU has it
    onnx, openvino   vsearch with the bundle's exports (`vsearch export`), if there are any

Prints medians of the rounds, ratios, the lowest cosine with the first contender that crops as
vsearch does (`torch` in float32), and how much of the time is decoding.
"""

import argparse
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from vsearch.bundle.exports.manifest import folder_of
from vsearch.bundle.generations.manifest import read_fitted
from vsearch.bundle.network import checked_embedder
from vsearch.bundle.new_items import embed_photos
from vsearch.data.decoding import in_threads
from vsearch.data.photos import read_square
from vsearch.models.processor import cpu_has_bfloat16
from vsearch.models.runtimes.base import Runtime
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.models.runtimes.torch import TorchRuntime

BATCH = 64


class Photos(Dataset[Tensor]):
    """Files, as a transform makes them."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as photo:
            return self.transform(photo.convert("RGB"))


def looped(
    network: nn.Module, transform: Callable[[Image.Image], Tensor], paths: list[Path]
) -> np.ndarray:
    """Embed files as a tutorial does."""
    loader = DataLoader(Photos(paths, transform), batch_size=BATCH, num_workers=2)
    with torch.no_grad():
        return torch.cat([nn.functional.normalize(network(batch)) for batch in loader]).numpy()


def ours(runtime: Runtime, paths: list[Path]) -> np.ndarray:
    """Embed as `index add` does."""
    items = pd.DataFrame({"path": [str(path) for path in paths]})
    return embed_photos(runtime, items, runtime.says).embeddings


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos_folder", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--photos", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    paths = sorted(args.photos_folder.glob("*.jpg"))[: args.photos]
    embedder = checked_embedder(args.bundle, read_fitted(args.bundle))
    preprocessing = embedder.preprocessing
    side = preprocessing.size

    def decoded() -> np.ndarray:
        return np.stack([*in_threads(lambda path: read_square(path, preprocessing), paths)])

    normal = [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(preprocessing.mean, preprocessing.std),
    ]
    plain: Any = deepcopy(embedder.backbone.model).to(memory_format=torch.contiguous_format)
    other = timm.create_model("resnet50", num_classes=0).eval()
    other.load_state_dict(plain.state_dict())
    told = timm.data.resolve_model_data_config(other) | {"input_size": (3, side, side)}
    ways: dict[str, Callable[[], np.ndarray]] = {
        "loop": lambda: looped(plain, v2.Compose([v2.Resize((side, side)), *normal]), paths),
        "timm": lambda: looped(other, timm.data.create_transform(**told, is_training=False), paths),
    }
    runtimes: list[Runtime] = [TorchRuntime(embedder, cpu_has_bfloat16())]
    for name, kind in (("onnx", OnnxRuntime), ("openvino", OpenvinoRuntime)):
        precision = "bfloat16" if name == "openvino" and cpu_has_bfloat16() else "float32"
        if (folder := folder_of(args.bundle, name)).exists():  # type: ignore[arg-type]
            runtimes.append(kind(folder, precision))  # type: ignore[arg-type]
    ways |= {runtime.says: lambda runtime=runtime: ours(runtime, paths) for runtime in runtimes}  # type: ignore[misc]
    exact = ours(TorchRuntime(embedder), paths)
    times: dict[str, list[float]] = {name: [] for name in (*ways, "decode")}
    cosines = {}
    for number in range(args.rounds + 1):  # the first warms up
        for name, way in {**ways, "decode": decoded}.items():
            start = time.perf_counter()
            vectors = way()
            if number:
                times[name].append(time.perf_counter() - start)
            elif name in ways:
                cosines[name] = float((vectors * exact).sum(axis=1).min())
    print(f"{len(paths)} photos at {side} px, {torch.get_num_threads()} threads\n")
    print("| | photos/s | against the loop | lowest cosine |\n| --- | --- | --- | --- |")
    for name in ways:
        ratio = median(a / b for a, b in zip(times["loop"], times[name], strict=True))
        lowest = "(other crop)" if name in ("loop", "timm") else f"{cosines[name]:.4f}"
        print(f"| {name} | {len(paths) / median(times[name]):.0f} | {ratio:.1f}x | {lowest} |")
    print(
        f"\ndecoding and resizing alone, all cores: {len(paths) / median(times['decode']):.0f} "
        "photos/s"
    )


if __name__ == "__main__":
    main()
