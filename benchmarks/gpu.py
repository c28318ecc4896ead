"""How a GPU spends a training step: photos per second, the share of time it is busy, and what
limits it.

    python -m benchmarks.gpu WEIGHTS.pth [--sizes 96,224] [--batches 64,256] [--variants
        eager,compile,graphs] [--steps 30]

ResNet-50 with conv1 to layer3 frozen, batch-hard triplets, fused AdamW, bfloat16 autocast: the
module of configs/triplet.yaml, its batches (random bytes) on the GPU already. Variants: `eager`, as
a fit runs it; `compile`, the network through torch.compile; `graphs`, with mode="reduce-overhead"
(CUDA graphs).

Two ceilings are measured first: a large bfloat16 matrix product, and a large copy, counting bytes
read and written. A step's operations are PyTorch's count; its bytes are the inputs and outputs of
each operation, as if none stayed in the cache: an upper bound. `busy` is the share of the time in
which a kernel runs, from PyTorch's profiler. Times are medians of single steps, from CUDA's events.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vsearch.models.backbones.torchvision import TorchvisionBackbone
from vsearch.models.embedder import Embedder

FROZEN = ["conv1", "bn1", "layer1", "layer2", "layer3"]
SIDE, COPIED = 8192, 2**31
WARM_UP = 10


class CountBytes(TorchDispatchMode):
    """Add up the bytes of what each operation reads and writes; views move none."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count."""
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            found = [one for one in tree_leaves((args, kwargs, made)) if isinstance(one, Tensor)]
            self.total += sum(one.nbytes for one in found)
        return made


class Step:
    """A training step as a fit makes it."""

    def __init__(self, weights: Path, size: int, photos: int, variant: str) -> None:
        self.embedder = (
            Embedder(TorchvisionBackbone("resnet50", str(weights), FROZEN, size)).cuda().train()
        )
        if variant != "eager":
            torch.compiler.reset()
            self.embedder.backbone.compile(mode="reduce-overhead" if variant == "graphs" else None)
        trained = [weight for weight in self.embedder.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, 1e-4, fused=True)
        self.loss, self.miner = TripletMarginLoss(0.3), BatchHardMiner()
        self.photos = torch.randint(
            0, 256, (photos, 3, size, size), dtype=torch.uint8, device="cuda"
        )
        self.labels = torch.arange(photos, device="cuda") // 4

    def __call__(self) -> None:
        """Make one."""
        with torch.autocast("cuda", torch.bfloat16):
            embeddings = self.embedder.embed_photos(self.photos)
            with torch.autocast("cuda", enabled=False):
                loss = self.loss(embeddings, self.labels, self.miner(embeddings, self.labels))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def milliseconds(part: Callable[[], object], times: int) -> list[float]:
    """Return how long each of some calls takes, by the GPU's clock; no call waits for the one
    before.
    """
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(times + 1)]
    marks[0].record()
    for mark in marks[1:]:
        part()
        mark.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) for before, after in pairwise(marks)]


def ceilings() -> tuple[float, float]:
    """Return the most that the GPU did in a second: operations of a matrix product, bytes of a
    copy.
    """
    matrix = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
    source = torch.randint(0, 256, (COPIED,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    product = median(milliseconds(lambda: matrix @ matrix, 30)[10:])
    copy = median(milliseconds(lambda: target.copy_(source), 30)[10:])
    return 2 * SIDE**3 / product * 1e3, 2 * COPIED / copy * 1e3


def busy_share(step: Step, times: int) -> float:
    """Return the share of the time in which the GPU computes, over some steps."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        start = time.perf_counter()
        for _ in range(times):
            step()
        torch.cuda.synchronize()
        took = time.perf_counter() - start
    return (
        sum(event.device_time_total for event in seen.events() if event.device_time_total)
        / 1e6
        / took
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--sizes", default="96,224")
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--variants", default="eager,compile,graphs")
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    operations_s, bytes_s = ceilings()
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}: {operations_s / 1e12:.0f} "
        "TFLOP/s in a product"
    )
    print(f"of {SIDE} x {SIDE} bfloat16, {bytes_s / 1e12:.2f} TB/s in a copy\n")
    print(
        "| px | photos | variant | warm-up s | step ms | photos/s | busy | floor by operations, ms "
        "| by bytes | GiB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in map(int, args.sizes.split(",")):
        for photos in map(int, args.batches.split(",")):
            floors: tuple[float, float] | None = None
            for variant in args.variants.split(","):
                torch.cuda.reset_peak_memory_stats()
                step = Step(args.weights, size, photos, variant)
                start = time.perf_counter()
                for _ in range(WARM_UP):
                    step()
                torch.cuda.synchronize()
                warm_up = time.perf_counter() - start
                if floors is None:
                    with FlopCounterMode(display=False) as operations, CountBytes() as moved:
                        step()
                    floors = (
                        operations.get_total_flops() / operations_s * 1e3,
                        moved.total / bytes_s * 1e3,
                    )
                ms = median(milliseconds(step, args.steps))
                row = [
                    size,
                    photos,
                    variant,
                    f"{warm_up:.1f}",
                    f"{ms:.2f}",
                    f"{photos / ms * 1e3:.0f}",
                ]
                row += [
                    f"{busy_share(step, args.steps):.0%}",
                    *(f"{floor:.2f}" for floor in floors),
                ]
                row.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f}")
                print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
