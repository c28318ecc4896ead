import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vsearch.bundle import canaries
from vsearch.bundle.exports.manifest import folder_of, read
from vsearch.errors import BundleError
from vsearch.models.embedder import Embedder
from vsearch.models.processor import cpu_has_bfloat16
from vsearch.models.runtimes.base import MissingPackage, Name, Precision, Runtime
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.models.runtimes.torch import TorchRuntime

WantedName = Literal["auto", Name]
WantedPrecision = Literal["auto", Precision]
ALIKE = (
    0.999  # cosine in bfloat16 with a stored photo's embedding; a few parts in 100,000 are usual
)
ROUNDS = 5  # of the stored photos, to see which runtime is quickest
IMPOSSIBLE: tuple[tuple[Name, Precision], ...] = (
    ("torch", "int8"),
    ("onnx", "bfloat16"),
    ("openvino", "int8"),
)
NAMES: tuple[Name, ...] = ("torch", "onnx", "openvino")


class CannotHave(BundleError):
    """A runtime can't compute so, embeds the stored photos otherwise, or there are none to try it
    with.
    """


@dataclass(frozen=True)
class Choice:
    """The runtime that embeds what users send.

    Attributes:
        runtime: tried with the bundle's stored photos, unless it is PyTorch in float32: that has
            been.
        why: its precision and what speaks for it, in words for the log.
    """

    runtime: Runtime
    why: str


def choose(
    folder: Path,
    embedder: Embedder,
    manifest: dict[str, Any],
    name: WantedName,
    precision: WantedPrecision,
    threads: int = 0,
) -> Choice:
    """Return a runtime of a bundle, as wanted.

    `auto` takes, of PyTorch and the exports in the bundle whose package is installed, the one that
    embeds the bundle's stored photos quickest and as they were; in bfloat16 where the CPU has
    instructions for it. It never takes int8, which costs quality: only who asks for it gets it.

    Args:
        folder: the bundle's, whose canaries have been checked.
        embedder: the bundle's, float32.
        manifest: the bundle's.
        name: auto, torch, onnx or openvino.
        precision: auto, float32, bfloat16 or int8.
        threads: of the runtime; 0: as many as PyTorch takes by itself.

    Raises:
        BundleError: an export is damaged or of another model, or what is wanted can't be had: says
            why.
    """
    tried, reasons = [], list[str]()
    for one in NAMES if name == "auto" else (name,):
        if name == "auto" and one != "torch" and not _exported(folder, one, precision):
            continue
        try:
            tried.append(_best(folder, embedder, manifest, one, precision, threads))
        except (MissingPackage, CannotHave) as error:
            reasons.append(f"{one} {precision} can't be had: {error}")
    if not tried:
        raise BundleError(f"{folder}: {'; '.join(reasons)}")
    chosen = tried[0] if len(tried) == 1 else _quickest(folder, tried)
    return Choice(chosen.runtime, "; ".join([chosen.why, *reasons]))


def _exported(folder: Path, name: Name, precision: WantedPrecision) -> bool:
    return folder_of(folder, name, "int8" if precision == "int8" else "float32").exists()


def _best(
    folder: Path,
    embedder: Embedder,
    manifest: dict[str, Any],
    name: Name,
    precision: WantedPrecision,
    threads: int,
) -> Choice:
    if precision != "auto":
        return _tried(folder, embedder, manifest, name, precision, threads)
    if name == "onnx" or not cpu_has_bfloat16():
        return _tried(folder, embedder, manifest, name, "float32", threads)
    try:
        return _tried(folder, embedder, manifest, name, "bfloat16", threads)
    except CannotHave as error:
        choice = _tried(folder, embedder, manifest, name, "float32", threads)
        return Choice(choice.runtime, f"{choice.why}: bfloat16 can't be had ({error})")


def _tried(
    folder: Path,
    embedder: Embedder,
    manifest: dict[str, Any],
    name: Name,
    precision: Precision,
    threads: int,
) -> Choice:
    """Open a runtime and embed the bundle's stored photos with it."""
    if (name, precision) in IMPOSSIBLE:
        raise CannotHave(f"there is no {precision} with {name} here")
    if (name, precision) == ("torch", "float32"):
        return Choice(TorchRuntime(embedder, threads=threads), "float32")
    alike = ALIKE if precision == "bfloat16" else canaries.ALIKE
    if name != "torch":
        export = read(folder_of(folder, name, precision), name, precision, manifest)
        alike = export.alike if precision == "int8" else alike
    if canaries.FILE not in manifest["sha256"]:
        raise CannotHave("the bundle keeps no photos to try it with")
    try:
        runtime = _opened(folder, embedder, name, precision, threads)
        lowest = min(canaries.compare(folder, runtime.embed).values())
    except BundleError:
        raise
    except Exception as error:  # a plugin's network may do anything
        raise CannotHave(str(error)) from error
    if not lowest >= alike:  # NaN is bad too
        raise CannotHave(
            f"a stored photo's embedding has a cosine of {lowest:.6f} with float32's; {alike} is "
            "needed"
        )
    return Choice(
        runtime,
        f"{precision}: {lowest:.6f} is the lowest cosine of stored photos' embeddings with those "
        "of float32",
    )


def _opened(
    folder: Path, embedder: Embedder, name: Name, precision: Precision, threads: int
) -> Runtime:
    if name == "torch":
        return TorchRuntime(embedder, precision == "bfloat16", threads)
    kind = OnnxRuntime if name == "onnx" else OpenvinoRuntime
    return kind(folder_of(folder, name, precision), precision, threads)


def _quickest(folder: Path, tried: list[Choice]) -> Choice:
    """Return the one whose median is the lowest over some rounds of the stored photos, in which
    they take turns.
    """
    squares = canaries.squares(folder)
    times: dict[str, list[float]] = {one.runtime.name: [] for one in tried}
    for _ in range(ROUNDS):
        for one in tried:
            start = time.perf_counter()
            one.runtime.embed(squares)
            times[one.runtime.name].append(time.perf_counter() - start)
    took = {name: statistics.median(each) for name, each in times.items()}
    best = min(tried, key=lambda one: took[one.runtime.name])
    compared = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in took.items())
    return Choice(best.runtime, f"{best.why}; for {len(squares)} photos: {compared}")
