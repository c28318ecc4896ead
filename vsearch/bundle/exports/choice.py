import statistics
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vsearch.bundle import canaries
from vsearch.bundle.exports.manifest import folder_of, read
from vsearch.bundle.network import checked_embedder
from vsearch.data.io.atomic import sha256
from vsearch.data.io.remembered_hashes import sha256_once
from vsearch.errors import BundleError
from vsearch.models.processor import cpu_has_bfloat16
from vsearch.models.runtimes.base import Name, Precision, Runtime
from vsearch.models.runtimes.onnx import OnnxRuntime
from vsearch.models.runtimes.openvino import OpenvinoRuntime
from vsearch.optional_packages import MissingPackage

if TYPE_CHECKING:
    from vsearch.models.embedder import Embedder

WantedName = Literal["auto", Name]
WantedPrecision = Literal["auto", Precision]
EXPORTED: tuple[Name, ...] = ("onnx", "openvino")
ROUNDS = 5  # of embedding the stored photos, to find the quickest runtime


class CannotHave(BundleError):
    """A runtime can't compute this, embeds stored photos differently, or has none to try."""


@dataclass(frozen=True)
class Choice:
    """The runtime that embeds users' photos; `why`: its precision and speed, in words."""

    runtime: Runtime
    why: str


def choose(
    folder: Path,
    manifest: dict[str, Any],
    name: WantedName = "auto",
    precision: WantedPrecision = "auto",
    threads: int = 0,
) -> Choice:
    """Return the wanted runtime of a bundle.

    `auto` tries the exports in the bundle whose package is installed, and chooses the quickest that
    gives the stored embeddings for the bundle's stored photos. Without one it chooses PyTorch,
    which takes seconds to start. It computes in bfloat16 if the CPU has instructions for it.
    `threads` 0: as many as PyTorch uses by default.

    Raises:
        BundleError: an export is damaged or of another model, or the choice isn't available.
    """
    trials = _Trials(folder, manifest, threads)
    if name != "auto":
        chosen = trials.first([name], precision)
    else:
        exported = [one for one in EXPORTED if folder_of(folder, one).exists()]
        chosen = trials.quickest(exported, precision) or trials.first(["torch"], precision)
    why = "; ".join([chosen.why, *trials.refused])
    return replace(chosen, why=why)


def first_to_start(folder: Path, manifest: dict[str, Any], name: WantedName = "auto") -> Runtime:
    """Return the runtime of a bundle that starts quickest, in float32: an export, else PyTorch.

    Unlike `choose`, it embeds nothing as a trial: an export was proven when it was made. Its files
    are hashed once for each state of them.

    Raises:
        BundleError: an export is damaged or of another model, or the choice isn't available.
    """
    trials = _Trials(folder, manifest, threads=0, for_few=True)
    exported = [one for one in EXPORTED if folder_of(folder, one).exists()]
    for one in [*exported, "torch"] if name == "auto" else [name]:
        try:
            return trials.opened(one, "float32")
        except MissingPackage as error:
            trials.refused.append(f"{one} isn't available: {error}")
    raise BundleError(f"{folder}: {'; '.join(trials.refused)}")


class _Trials:
    """Opens runtimes of a bundle and embeds its stored photos; `refused` says why some failed."""

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        threads: int,
        for_few: bool = False,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.threads = threads
        self.for_few = for_few
        self.refused: list[str] = []

    def first(self, names: list[Name], precision: WantedPrecision) -> Choice:
        """Return the first that is available."""
        found = self.usable(names, precision)
        if found:
            return found[0]
        raise BundleError(f"{self.folder}: {'; '.join(self.refused)}")

    def quickest(self, names: list[Name], precision: WantedPrecision) -> Choice | None:
        """Return the one with the lowest median time for the stored photos; they take turns."""
        found = self.usable(names, precision)
        if len(found) < 2:
            return found[0] if found else None

        photos = canaries.squares(self.folder)
        times: dict[str, list[float]] = {one.runtime.name: [] for one in found}
        for _ in range(ROUNDS):
            for one in found:
                start = time.perf_counter()
                one.runtime.embed(photos)
                times[one.runtime.name].append(time.perf_counter() - start)

        seconds = {name: statistics.median(each) for name, each in times.items()}
        best = min(found, key=lambda one: seconds[one.runtime.name])
        compared = ", ".join(f"{name} {1000 * took:.1f} ms" for name, took in seconds.items())
        return replace(best, why=f"{best.why}; for {len(photos)} photos: {compared}")

    def usable(self, names: list[Name], precision: WantedPrecision) -> list[Choice]:
        """Return those that are available, and remember why the others aren't."""
        found = []
        for name in names:
            try:
                found.append(self.best(name, precision))
            except (MissingPackage, CannotHave) as error:
                self.refused.append(f"{name} {precision} isn't available: {error}")
        return found

    def best(self, name: Name, precision: WantedPrecision) -> Choice:
        """Return a runtime in the wanted precision, or in the quickest available one."""
        if precision != "auto":
            return self.tried(name, precision)
        if name == "onnx" or not cpu_has_bfloat16():
            return self.tried(name, "float32")
        try:
            return self.tried(name, "bfloat16")
        except CannotHave as error:
            choice = self.tried(name, "float32")
            return replace(choice, why=f"{choice.why}: bfloat16 isn't available ({error})")

    def tried(self, name: Name, precision: Precision) -> Choice:
        """Open a runtime and embed the stored photos with it."""
        if (name, precision) == ("onnx", "bfloat16"):
            raise CannotHave("onnx has no bfloat16 here")
        if (name, precision) == ("torch", "float32"):
            return Choice(self.opened(name, precision), "float32")

        if canaries.FILE not in self.manifest["sha256"]:
            raise CannotHave("the bundle keeps no photos to try it with")
        try:
            runtime = self.opened(name, precision)
            cosines = canaries.compare(self.folder, runtime)
        except (BundleError, MissingPackage):
            raise
        except Exception as error:  # a plugin's network may raise anything
            raise CannotHave(str(error)) from error

        lowest = min(cosines.values())
        needed = canaries.alike_in(precision)
        if not lowest >= needed:  # NaN is bad too
            raise CannotHave(
                f"a stored photo's embedding has a cosine of {lowest:.6f} with that in float32; "
                f"{needed} is needed"
            )
        alike = "is the lowest cosine between stored photos' embeddings and those of float32"
        return Choice(runtime, f"{precision}: {lowest:.6f} {alike}")

    def opened(self, name: Name, precision: Precision) -> Runtime:
        """Open a runtime."""
        if name == "torch":
            # PyTorch takes seconds to start, and exports don't need it
            from vsearch.models.runtimes.torch import TorchRuntime

            return TorchRuntime(self.embedder, precision == "bfloat16", self.threads)
        export = folder_of(self.folder, name)
        read(export, name, self.manifest, sha256_once if self.for_few else sha256)
        if name == "openvino":
            return OpenvinoRuntime(export, precision, self.threads)
        return OnnxRuntime(export, precision, self.threads, self.for_few)

    @cached_property
    def embedder(self) -> "Embedder":
        """The bundle's network."""
        return checked_embedder(self.folder, self.manifest)
