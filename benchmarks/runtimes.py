"""Photos per second and latency of each runtime on a bundle's photos, in turn, and how each changes
the results.

    python -m benchmarks.runtimes BUNDLE [--threads 2] [--rounds 15] [--batch 32] [--processor-time]

The runtimes are PyTorch in float32 and bfloat16, and the bundle's exports (`vsearch export`),
OpenVINO also in both. In each round each runtime embeds one photo and one batch, decoded before;
the table has medians. Cosines and the overlap of the ten best items in the bundle's index compare
the run's test photos (or items) with PyTorch in float32.

On a busy machine, PyTorch's threads wait for one another: `--threads 1 --processor-time` counts the
process's CPU seconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vsearch.bundle.exports.manifest import folder_of
from vsearch.bundle.exports.photos import held
from vsearch.bundle.exports.proof import Bounds, embedded, prove
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.network import checked_embedder
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.base import Name, Precision, Runtime
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.models.runtimes.torch import TorchRuntime

ANY = Bounds(-1, 0)
WARM_UP = 2  # rounds


def runtimes(bundle: Path, embedder: Embedder) -> list[Runtime]:
    """Return all runtimes that the bundle has."""
    found: list[Runtime] = [TorchRuntime(embedder), TorchRuntime(embedder, bfloat16=True)]
    kinds: list[tuple[Name, Precision]] = [
        ("onnx", "float32"),
        ("openvino", "float32"),
        ("openvino", "bfloat16"),
    ]
    for name, precision in kinds:
        folder, kind = (
            folder_of(bundle, name),
            OnnxRuntime if name == "onnx" else OpenvinoRuntime,
        )
        found += [kind(folder, precision)] if folder.exists() else []
    return found


def seconds(
    found: list[Runtime], squares: np.ndarray, rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Return each runtime's median seconds for these photos; they take turns."""
    times: dict[str, list[float]] = {runtime.says: [] for runtime in found}
    for number in range(rounds + WARM_UP):
        for runtime in found:
            start = clock()
            runtime.embed(squares)
            if number >= WARM_UP:
                times[runtime.says].append(clock() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--processor-time", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    live = open_live(args.bundle)
    embedder = checked_embedder(args.bundle, live.fitted)
    photos = held(live, embedder.preprocessing)
    clock = time.process_time if args.processor_time else time.perf_counter
    found, labels = runtimes(args.bundle, embedder), live.items["label"].to_numpy()
    before = embedded(found[0], photos)
    one, batch = (seconds(found, photos.squares[:n], args.rounds, clock) for n in (1, args.batch))
    print(
        f"{photos.origin}, {embedder.preprocessing.size} px, {args.threads} threads, batches of "
        f"{args.batch}\n"
    )
    print(
        "| runtime | one photo, ms | photos/s | beside torch float32 | lowest cosine | top-10 "
        "overlap | precision@1 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for runtime in found:
        proof = prove(before, embedded(runtime, photos), photos, live.index, labels, ANY)
        right = proof["precision_at_1"]["export"] if proof["precision_at_1"] else np.nan
        ratio = batch[found[0].says] / batch[runtime.says]
        print(
            f"| {runtime.says} | {1000 * one[runtime.says]:.1f} | "
            f"{args.batch / batch[runtime.says]:.0f} | {ratio:.2f} | "
            f"{proof['lowest_cosine']:.5f} | {proof['top10_overlap']:.3f} | {right:.3f} |"
        )


if __name__ == "__main__":
    main()
