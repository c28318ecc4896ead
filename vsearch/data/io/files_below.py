import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

# opening never waits for a FIFO's other end
FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_below(roots: Iterable[Path], path: Path) -> BinaryIO:
    """Open a regular file that lies below one of `roots` once all links are resolved.

    It never reads a device or a FIFO, nor waits for one.

    Raises:
        OSError: it can't be opened, lies elsewhere, or isn't a regular file.
    """
    try:
        real = path.resolve(strict=True)
        is_below = any(real.is_relative_to(root.resolve()) for root in roots)
    except (ValueError, RuntimeError) as error:  # a zero byte; links in a circle
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    if not is_below:
        raise PermissionError(errno.EPERM, f"lies outside {', '.join(map(str, roots))}", str(path))

    return open_regular(real, NO_LINK)  # a link found now was made after resolving


def open_regular(path: Path, flags: int = 0) -> BinaryIO:
    """Open a regular file; never read a device or a FIFO, nor wait for one.

    Raises:
        OSError: it can't be opened, or isn't a regular file.
    """
    file = os.open(path, FLAGS | flags)
    try:
        kind = os.fstat(file).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise
