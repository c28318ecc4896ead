import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

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
    """Write a file so that a reader finds the old one or the new one.

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
    return 1 + max(
        (int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=0
    )
