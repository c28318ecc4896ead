from collections.abc import Callable
from pathlib import Path
from typing import Any

from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError

MANIFEST, ITEMS, VECTORS = "manifest.json", "items.parquet", "vectors.npy"
CURRENT, PREVIOUS = "CURRENT", "PREVIOUS"
GENERATIONS, CHANGES = "generations", "changes"


def measured(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `bytes` and `sha256` of each file in a folder, as a manifest keeps them."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return {
        "bytes": {path.name: path.stat().st_size for path in paths},
        "sha256": {path.name: sha256(path) for path in paths},
    }


def check_file(
    folder: Path, name: str, kept: dict[str, Any], digest: Callable[[Path], str] = sha256
) -> None:
    """Compare a file's length and SHA-256 with those in a manifest.

    Args:
        digest: returns a file's SHA-256.

    Raises:
        BundleError: it is missing, cut off, damaged or foreign; the message names it.
    """
    path = folder / name
    if path.name != name or not path.is_file():
        raise BundleError(f"{folder}: {name} is missing.")

    damaged = f"{folder}: {name} is damaged or from another bundle"
    length = path.stat().st_size
    wanted = kept.get("bytes", {}).get(name, length)  # an export keeps no lengths
    if length != wanted:
        raise BundleError(f"{damaged} ({length:,} bytes, not {wanted:,}).")
    if digest(path) != kept["sha256"].get(name):
        raise BundleError(f"{damaged} (its SHA-256 is not the manifest's).")
