import json
import os
import time
from contextlib import suppress
from pathlib import Path

from vsearch.data.io.atomic import replace_file, sha256

LARGE = 1 << 20  # bytes; smaller files are hashed each time
MOST = 200  # files that are remembered
SETTLED_S = 2  # a file that changed this recently may change again within the same timestamp


def sha256_once(path: Path) -> str:
    """Return a file's SHA-256; for each state of a large file it is computed once and remembered.

    The state is device, inode, length, mtime and ctime; nobody can set the ctime back. The hashes
    are kept in the user's cache folder; if that can't be used, files are read each time.
    """
    state = _state(path)
    if state is None:
        return sha256(path)
    known = _read()
    if state in known:
        return known[state]
    digest = sha256(path)
    if _state(path) == state:
        newest = list({**_read(), state: digest}.items())[-MOST:]
        with suppress(OSError):
            _file().parent.mkdir(parents=True, exist_ok=True)
            replace_file(_file(), json.dumps(dict(newest)).encode(), mark=str(os.getpid()))
    return digest


def _state(path: Path) -> str | None:
    """Return what identifies a file's state; None if it is small or has just changed."""
    found = path.stat()
    if found.st_size < LARGE or time.time() - found.st_ctime < SETTLED_S:
        return None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return " ".join(map(str, (found.st_dev, found.st_ino, found.st_size, *times)))


def _file() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "vsearch" / "hashes.json"


def _read() -> dict[str, str]:
    try:
        return dict(json.loads(_file().read_text()))
    except (OSError, ValueError, TypeError, RuntimeError):  # RuntimeError: no home folder
        return {}
