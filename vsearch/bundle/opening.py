from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from vsearch.bundle import canaries
from vsearch.bundle.generations.checked_files import check_file
from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.generations.manifest import WEIGHTS, explained
from vsearch.bundle.writing import fingerprint
from vsearch.class_paths import build
from vsearch.data.photos import Preprocessing
from vsearch.errors import BundleError
from vsearch.models.backbones.base import Backbone
from vsearch.models.backbones.restored import restored
from vsearch.models.embedder import Embedder
from vsearch.models.heads.base import Head
from vsearch.models.runtimes.torch import TorchRuntime
from vsearch.search.searcher import Searcher


def open_bundle(folder: Path) -> Searcher:
    """Open a bundle as it stands: the generation in force, with the changes on top of it made.

    Every part's length and SHA-256 is checked before anything reads it, and that they belong
    together. The bundle keeps what it has opened, whatever is written later.

    Raises:
        BundleError: says which part is missing, damaged or foreign.
    """
    live = open_live(folder)
    with explained(folder, "opening the network"):
        check_file(folder, WEIGHTS, live.fitted)
        manifest = {
            **live.fitted,
            "index": live.manifest["index"],
            "generation": live.state.generation,
        }
        return Searcher(open_embedder(folder, live.fitted), live.index, live.items, manifest)


def open_embedder(folder: Path, manifest: dict[str, Any]) -> Embedder:
    """Return the network of a bundle whose weights have been checked, in eval mode, on the CPU.

    Raises:
        BundleError: the manifest's fingerprint is of other weights or another preprocessing.
    """
    preprocessing = Preprocessing(**manifest["preprocessing"])
    if (
        fingerprint(manifest["sha256"][WEIGHTS], preprocessing, manifest["dim"])
        != manifest["fingerprint"]
    ):
        raise BundleError(
            f"{folder}: the fingerprint is not that of these weights and this preprocessing."
        )
    headless = not manifest.get("head")
    with restored(manifest["dim"] if headless else None):
        backbone = build(manifest["backbone"], Backbone)
        backbone.preprocessing = preprocessing
        embedder = Embedder(backbone, None if headless else build(manifest["head"], Head))
    embedder.load_state_dict(load_file(folder / WEIGHTS))
    return embedder.eval()


def check_canaries(folder: Path, embedder: Embedder, manifest: dict[str, Any]) -> str:
    """Embed a bundle's stored photos again and say how alike the embeddings are to those of then.

    Raises:
        BundleError: their file is damaged, or the network no longer embeds as it did.
    """
    if canaries.FILE not in manifest["sha256"]:
        return "canaries: the bundle has none"
    with explained(folder, "embedding the canaries again"):
        check_file(folder, canaries.FILE, manifest)
        cosines = canaries.compare(folder, TorchRuntime(embedder).embed)
    worst = min(cosines, key=lambda id: cosines[id])
    if not cosines[worst] >= canaries.ALIKE:  # NaN is bad too
        raise BundleError(
            f"{folder}: the network no longer embeds as it did: the photo of {worst!r} has a "
            f"cosine of {cosines[worst]:.6f} with its embedding of then; {canaries.ALIKE} is "
            "needed."
        )
    return f"canaries: {len(cosines)} photos embedded again, lowest cosine {cosines[worst]:.6f}"


def embedder_of(live: Live) -> Embedder:
    """Open the network of a bundle, its weights checked.

    Raises:
        BundleError: the weights are damaged, or of another fingerprint.
    """
    return checked_embedder(live.bundle, live.fitted)


def checked_embedder(bundle: Path, fitted: dict[str, Any]) -> Embedder:
    """Open the network of a bundle with this manifest, its weights checked.

    Raises:
        BundleError: the weights are damaged, or of another fingerprint.
    """
    with explained(bundle, "opening the network"):
        check_file(bundle, WEIGHTS, fitted)
        return open_embedder(bundle, fitted)
