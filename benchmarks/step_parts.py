"""Show where a training step's time goes, and how far each part is from the machine's limit.

    python -m benchmarks.step_parts CATALOG_FOLDER WEIGHTS.pth [--size 96] [--rounds 9] [--float32]
      [--convolutions] [--compile]

CATALOG_FOLDER holds images/ with .jpg files. A step has 64 photos, ResNet-50 with conv1 to layer3
frozen, batch-hard triplets, as in configs/triplet.yaml. A part's floor is its multiplications and
additions, divided by this machine's rate in one large matrix product of the same precision in the
same run. Medians of rounds in which the parts take turns.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from vsearch.data.photos import read_square
from vsearch.models.backbones.cut import cut
from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.normalising import normalise
from vsearch.models.precision import quickest
from vsearch.models.product_convolution import use_products

PHOTOS, LABELS, SIDE = 64, 16, 4096
FROZEN = ["conv1", "bn1", "layer1", "layer2", "layer3"]


def seconds(part: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    part()
    return time.perf_counter() - start


def operations(part: Callable[[], object]) -> int:
    """Return the floating-point operations of one call, as PyTorch counts them: a multiplication
    and a sum are two.
    """
    with FlopCounterMode(display=False) as counter:
        part()
    return int(counter.get_total_flops())


class Step:
    """The parts of one training step, each to be called by itself."""

    def __init__(
        self, folder: Path, weights: Path, size: int, low: bool, products: bool, compiled: bool
    ) -> None:
        self.backbone = TorchvisionBackbone("resnet50", str(weights), FROZEN, size)
        found = cut(self.backbone.train())
        assert found is not None
        self.cut, self.low = found, low
        if products:
            use_products(self.backbone)
        if compiled:
            self.cut.trunk.compile()
            self.cut.rest.compile()
        self.paths = sorted((folder / "images").glob("*.jpg"))[:PHOTOS]
        self.labels = torch.arange(PHOTOS) % LABELS
        self.squares = self.decode()
        self.photos = self.normalised()
        start = time.perf_counter()
        self.maps = self.frozen().clone()
        self.trained()
        self.first_s = time.perf_counter() - start
        self.optimizer = torch.optim.AdamW(self.cut.rest.parameters(), 1e-4, fused=True)
        self.embeddings = self.embed(self.maps).detach()
        self.flip = v2.RandomHorizontalFlip()
        matrix = torch.rand(SIDE, SIDE)
        self.matrix = matrix.bfloat16() if low else matrix

    def decode(self) -> list[Tensor]:
        """Files to squares, one after the other."""
        preprocessing = self.backbone.preprocessing
        return [torch.from_numpy(read_square(path, preprocessing)) for path in self.paths]

    def augmented(self) -> list[Tensor]:
        """Each square flipped or not."""
        return [self.flip(square) for square in self.squares]

    def normalised(self) -> Tensor:
        """Squares to the network's input."""
        batch = normalise(torch.stack(self.squares), self.backbone.preprocessing)
        return batch.contiguous(memory_format=torch.channels_last)

    def context(self) -> contextlib.AbstractContextManager[None]:
        """The precision."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.low)

    def frozen(self) -> Tensor:
        """Photos through conv1 to layer3."""
        with torch.no_grad(), self.context():
            return self.cut.trunk(self.photos)

    def embed(self, maps: Tensor) -> Tensor:
        """Maps through layer4, to unit length."""
        with self.context():
            features = self.cut.rest(maps)
        return torch.nn.functional.normalize(features.float())

    def mined(self) -> Tensor:
        """The miner and the loss."""
        return TripletMarginLoss(0.3)(
            self.embeddings, self.labels, BatchHardMiner()(self.embeddings, self.labels)
        )

    def trained(self) -> None:
        """Layer4 forward and backward."""
        self.embed(self.maps).square().sum().backward()

    def update(self) -> None:
        """The optimizer's step."""
        self.optimizer.step()

    def product(self) -> Tensor:
        """One large matrix product."""
        return self.matrix @ self.matrix


def main() -> None:
    """Time the parts and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("catalog", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--convolutions", action="store_true", help="PyTorch's own, instead of products"
    )
    parser.add_argument("--compile", action="store_true", help="both parts through torch.compile")
    parser.add_argument("--float32", action="store_true", help="also where the CPU has bfloat16")
    args = parser.parse_args()
    step = Step(
        args.catalog,
        args.weights,
        args.size,
        quickest("cpu") == "bf16-mixed" and not args.float32,
        not args.convolutions,
        args.compile,
    )
    parts = {
        "decode and resize (one thread)": step.decode,
        "augment (one thread)": step.augmented,
        "normalise": step.normalised,
        "frozen part": step.frozen,
        "trained part, forward and backward": step.trained,
        "mining and loss": step.mined,
        "optimizer": step.update,
    }
    times: dict[str, list[float]] = {name: [] for name in (*parts, "product")}
    for _ in range(args.rounds):
        for name, part in {**parts, "product": step.product}.items():
            times[name].append(seconds(part))
    peak = 2 * SIDE**3 / min(times["product"])
    print(
        f"{PHOTOS} photos at {args.size} px, {'bfloat16' if step.low else 'float32'}, "
        f"{torch.get_num_threads()} threads"
    )
    print(
        f"of {os.cpu_count()} cores; the largest product ran at {peak / 1e9:.0f} GFLOP/s; the "
        f"first step took {step.first_s:.1f} s\n"
    )
    print("| part | ms | share | floor, ms | times the floor |\n| --- | --- | --- | --- | --- |")
    total = sum(median(times[name]) for name in parts)
    for name, part in parts.items():
        own, floor = median(times[name]), operations(part) / peak
        known = f"{floor * 1e3:.0f} | {own / floor:.1f}" if floor > 1e-4 else "|"
        print(f"| {name} | {own * 1e3:.1f} | {own / total:.0%} | {known} |")


if __name__ == "__main__":
    main()
