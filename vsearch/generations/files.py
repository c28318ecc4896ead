import hashlib
import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from vsearch.generations.base import BundleError

MAKING = ".making-"  # how the names of files and folders begin that are not whole yet


def sha256(path: Path) -> str:
    """Return a file's SHA-256, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have the disk keep a file, or what a folder lists."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes, mark: str = "") -> None:
    """Write a file so that a reader finds the old one or the new one: temporary sibling, fsync, rename, fsync.

    Where several processes may write one file, each needs a `mark` of its own.

    Raises:
        OSError: it could not be written. The old one stands, unless only the last fsync failed.
    """
    made = path.with_name(MAKING + mark + path.name)
    try:
        made.write_bytes(data)
        sync(made)
        os.rename(made, path)  # noqa: PTH104 (one name for every rename: tests end the process at each)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    sync(path.parent)


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is there with all that `fill` writes into it, or not at all.

    Raises:
        OSError: it could not be written; nothing is left.
    """
    folder.parent.mkdir(exist_ok=True)
    made = folder.with_name(MAKING + folder.name)
    try:
        made.mkdir()
        fill(made)
        for path in [*made.iterdir(), made]:
            sync(path)
        os.rename(made, folder)  # noqa: PTH104
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    sync(folder.parent)
    sync(folder.parent.parent)


def clean(bundle: Path, *folders: Path) -> None:
    """Take away what a writer that was killed left unfinished."""
    for folder in (bundle, *folders):
        for path in folder.glob(f"{MAKING}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def next_number(folder: Path) -> int:
    """Return the number of the next of the numbered folders in `folder`, from 1."""
    return 1 + max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=0)


def measured(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `bytes` and `sha256` of each file in a folder, as a manifest keeps them."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return {
        "bytes": {path.name: path.stat().st_size for path in paths},
        "sha256": {path.name: sha256(path) for path in paths},
    }


def check_file(folder: Path, name: str, kept: dict[str, Any]) -> None:
    """Compare a file's length and SHA-256 with those in a manifest.

    Raises:
        BundleError: it is missing, cut, damaged or foreign; the message names it.
    """
    path = folder / name
    if path.name != name or not path.is_file():
        raise BundleError(f"{folder}: {name} is missing.")
    length, wanted = path.stat().st_size, kept.get("bytes", {}).get(name)  # older bundles keep no lengths
    if wanted is not None and length != wanted:
        raise BundleError(f"{folder}: {name} is damaged or from another bundle ({length:,} bytes, not {wanted:,}).")
    if sha256(path) != kept["sha256"].get(name):
        raise BundleError(f"{folder}: {name} is damaged or from another bundle (its SHA-256 is not the manifest's).")


def table_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as a Parquet file's content."""
    file = BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()
