import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.manifest import WEIGHTS, explained
from vsearch.data.photos import Preprocessing
from vsearch.errors import BundleError

if TYPE_CHECKING:
    from vsearch.models.embedder import Embedder


def fingerprint(weights_sha256: str, preprocessing: Preprocessing, dim: int) -> str:
    """Return the SHA-256 of all that determines embeddings; it binds a model to its index."""
    parts = {
        "weights": weights_sha256,
        "preprocessing": preprocessing.to_json(),
        "dim": dim,
        "normalisation": "l2",
        "metric": "cosine",
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_network(bundle: Path, fitted: dict[str, Any]) -> None:
    """Check a bundle's weights and fingerprint without loading the network."""
    with explained(bundle, "opening the network"):
        check_file(bundle, WEIGHTS, fitted)
    check_fingerprint(bundle, fitted)


def check_fingerprint(bundle: Path, fitted: dict[str, Any]) -> None:
    """Check that a manifest's fingerprint fits its description of the network."""
    with explained(bundle, "reading the fingerprint"):
        preprocessing = Preprocessing(**fitted["preprocessing"])
        found = fingerprint(fitted["sha256"][WEIGHTS], preprocessing, fitted["dim"])
    if found != fitted["fingerprint"]:
        raise BundleError(
            f"{bundle}: the fingerprint doesn't fit these weights and this preprocessing."
        )


def checked_embedder(bundle: Path, fitted: dict[str, Any]) -> "Embedder":
    """Open the network of a bundle with this manifest in PyTorch, its weights checked."""
    # PyTorch takes seconds to start, and exports don't need it
    from vsearch.models.stored_embedder import restored_embedder

    check_network(bundle, fitted)
    with explained(bundle, "opening the network"):
        return restored_embedder(fitted, bundle / WEIGHTS)
