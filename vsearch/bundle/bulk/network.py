from pathlib import Path

from vsearch.bundle import canaries
from vsearch.bundle.bulk.plan import Network
from vsearch.bundle.exports.choice import Choice, WantedName, choose
from vsearch.bundle.generations.manifest import read_fitted
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Runtime


def decide(bundle: Path, name: WantedName, begun: Network | None) -> Choice:
    """Choose the runtime that computes, and why; `begun`: the network that the folder began with.

    Raises:
        BundleError: the bundle is damaged, there is no such runtime, or the folder began with
            another.
    """
    if begun is not None and name not in ("auto", begun.runtime):
        raise BundleError(f"the folder began with --runtime {begun.runtime}, not {name}.")

    fitted = read_fitted(bundle)
    if begun is not None:
        chosen = Choice(open_runtime(bundle, begun), "as the folder began")
    elif name in ("auto", "torch") and (runtime := _on_gpu(bundle)) is not None:
        chosen = Choice(runtime, "float32, on the GPU")
    else:
        chosen = choose(bundle, fitted, name)
    canaries.check(bundle, chosen.runtime, fitted)
    return chosen


def open_runtime(bundle: Path, network: Network) -> Runtime:
    """Open a runtime of a bundle by its name and precision."""
    return choose(bundle, read_fitted(bundle), network.runtime, network.precision).runtime


def _on_gpu(bundle: Path) -> Runtime | None:
    """Return PyTorch, if it is installed and has a GPU."""
    try:
        from vsearch.models.runtimes.torch import gpu_is_there
    except ImportError:
        return None
    return open_runtime(bundle, Network("torch", "float32")) if gpu_is_there() else None
