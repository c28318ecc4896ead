import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Let the processes of this machine and user through one after another: the first makes it, the
    others find it.

    The ranks of a fit start at once. A process that is killed lets the next one in.

    Args:
        what: is made; those who name the same wait for one another.
    """
    folder = Path(tempfile.gettempdir(), f"vsearch-locks-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    with (folder / sha256(what.encode()).hexdigest()[:32]).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
