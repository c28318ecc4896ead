from pathlib import Path
from typing import Any

import torch

from vsearch.bundle.bulk.plan import Network
from vsearch.bundle.exports.choice import WantedName, choose
from vsearch.bundle.generations.manifest import read_fitted
from vsearch.bundle.opening import check_canaries, checked_embedder
from vsearch.errors import BundleError
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.base import Runtime
from vsearch.models.runtimes.torch import TorchRuntime


def decide(bundle: Path, name: WantedName, begun: Network | None) -> tuple[Network, Runtime, str]:
    """Return what is to compute, opened, and why: what a folder was begun with, or what is wanted
    for a new one.

    Raises:
        BundleError: the bundle is damaged, there is no such runtime, or the folder was begun with
            another.
    """
    fitted = read_fitted(bundle)
    embedder = checked_embedder(bundle, fitted)
    check_canaries(bundle, embedder, fitted)
    if begun is not None:
        if name not in ("auto", begun.runtime):
            raise BundleError(f"the folder was begun with --runtime {begun.runtime}, not {name}.")
        return begun, open_runtime(bundle, embedder, fitted, begun), "as the folder was begun"
    if torch.cuda.is_available() and name in ("auto", "torch"):
        return Network("torch", "float32"), TorchRuntime(embedder), "float32, on the GPU"
    chosen = choose(bundle, embedder, fitted, name, "auto")
    return Network(chosen.runtime.name, chosen.runtime.precision), chosen.runtime, chosen.why


def open_runtime(
    bundle: Path, embedder: Embedder, fitted: dict[str, Any], network: Network
) -> Runtime:
    """Open a runtime of a bundle by its name and precision."""
    return choose(bundle, embedder, fitted, network.runtime, network.precision).runtime
