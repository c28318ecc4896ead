import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.bundle.generations.files import check_file
from vsearch.bundle.generations.manifest import TEXT_WEIGHTS, TOKENIZER, WEIGHTS, explained
from vsearch.data.photos import Preprocessing
from vsearch.errors import BundleError
from vsearch.models.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from vsearch.models.embedder import Embedder
    from vsearch.models.text.towers import Words


def fingerprint(
    digests: dict[str, str],
    preprocessing: Preprocessing,
    dim: int,
    text: dict[str, Any] | None = None,
) -> str:
    """Return the SHA-256 of all that determines embeddings; it binds a model to its index.

    Args:
        digests: the SHA-256 of files with weights, and of the tokenizer's.
        text: the manifest's entry about the text tower; None: there is none.
    """
    parts: dict[str, Any] = {
        "weights": digests[WEIGHTS],
        "preprocessing": preprocessing.to_json(),
        "dim": dim,
        "normalisation": "l2",
        "metric": "cosine",
    }
    if text is not None:
        files = {name: digests[name] for name in (TEXT_WEIGHTS, TOKENIZER)}
        parts["text"] = {**text, **files}
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
        found = fingerprint(fitted["sha256"], preprocessing, fitted["dim"], fitted.get("text"))
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


def tokenizer_of(bundle: Path, fitted: dict[str, Any]) -> Tokenizer:
    """Open the tokenizer of a bundle with a text tower, checked."""
    with explained(bundle, "opening the tokenizer"):
        check_file(bundle, TOKENIZER, fitted)
        file = (bundle / TOKENIZER).read_text(encoding="utf-8")
        return Tokenizer(file, fitted["text"]["cleaning"])


def checked_words(bundle: Path, fitted: dict[str, Any]) -> "Words":
    """Open the text tower of a bundle in PyTorch, its weights and tokenizer checked."""
    tokenizer = tokenizer_of(bundle, fitted)
    try:
        from vsearch.models.stored_embedder import restored_words
    except ImportError as error:
        raise BundleError(
            f"{bundle}: texts need PyTorch ({error}), or an export that PyTorch makes: "
            "python -m vsearch export"
        ) from error

    with explained(bundle, "opening the text tower"):
        check_file(bundle, TEXT_WEIGHTS, fitted)
        return restored_words(fitted, bundle / TEXT_WEIGHTS, tokenizer)
