from pathlib import Path
from typing import Any

from vsearch.bundle.exports.choice import EXPORTED
from vsearch.bundle.exports.manifest import folder_of, read
from vsearch.bundle.network import checked_words, tokenizer_of
from vsearch.data.io.remembered_hashes import sha256_once
from vsearch.models.text.encoder import FILE, OnnxText, TextEncoder


def open_text(bundle: Path, fitted: dict[str, Any]) -> TextEncoder:
    """Open the text tower of a bundle: that of an export in ONNX Runtime, else in PyTorch.

    Raises:
        BundleError: a file is damaged or foreign, or a package is missing.
    """
    for name in EXPORTED:
        folder = folder_of(bundle, name)
        if (folder / FILE).is_file():
            read(folder, name, fitted, sha256_once)
            return OnnxText(folder, tokenizer_of(bundle, fitted))
    return checked_words(bundle, fitted)
