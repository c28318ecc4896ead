import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Let this user's processes on this machine that name the same `what` run one after another.

    So the first makes it, and the others find it. Killing a process releases its lock.
    """
    folder = Path(tempfile.gettempdir(), f"vsearch-locks-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    with (folder / sha256(what.encode()).hexdigest()[:32]).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
