import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

MAKING = ".making-"  # prefix of files and folders that aren't complete yet
LEFT_AFTER_S = 24 * 3600  # another process may still be writing newer ones


def sha256(path: Path) -> str:
    """Return a file's SHA-256, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, data: bytes, mark: str = "") -> None:
    """Write a file so that readers see the old one or the new one; see `rewrite_file`."""
    rewrite_file(path, lambda file: file.write(data), mark)


def rewrite_file(path: Path, write: Callable[[BinaryIO], object], mark: str = "") -> None:
    """Have `write` write a file so that readers see the old one or the new one.

    If several processes may write the same file, each needs its own `mark`.

    Raises:
        OSError: it could not be written. The old one stays, unless only the last fsync failed.
    """
    made = path.with_name(MAKING + mark + path.name)
    try:
        with made.open("wb") as file:
            write(file)
        sync(made)
        os.rename(made, path)  # noqa: PTH104 (one name for every rename: tests end the process at each)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    sync(path.parent)


def make_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    """Make a folder with everything that `fill` writes into it, or not at all.

    Only one process at a time may make it. What a killed process left behind is deleted.

    Raises:
        OSError: it could not be written; nothing stays behind.
    """
    folder.parent.mkdir(exist_ok=True)
    made = folder.with_name(MAKING + folder.name)
    if made.exists():
        shutil.rmtree(made)
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


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """Yield a new folder on the disk of `beside`, so that renaming something there is one step.

    It is deleted afterwards; folders of killed processes are deleted after a day.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    forget_unfinished(beside.parent)
    with TemporaryDirectory(prefix=f"{MAKING}{beside.name}-", dir=beside.parent) as folder:
        yield Path(folder)


def forget_unfinished(folder: Path, pattern: str = "") -> None:
    """Delete what killed processes left in `folder`, or in its folders of a glob `pattern`."""
    for path in folder.glob(f"{pattern}{MAKING}*"):
        with suppress(OSError):  # another process may have deleted it, or own it
            if time.time() - path.stat().st_mtime > LEFT_AFTER_S:
                _take_away(path)


def clean(bundle: Path, *folders: Path) -> None:
    """Delete what a killed writer left unfinished."""
    for folder in (bundle, *folders):
        for path in folder.glob(f"{MAKING}*"):
            _take_away(path)


def _take_away(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def next_number(folder: Path) -> int:
    """Return the next number for the numbered folders in `folder`, from 1."""
    return 1 + max(
        (int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=0
    )
