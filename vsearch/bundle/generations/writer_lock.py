import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsearch.bundle.generations.files import CHANGES, GENERATIONS, MANIFEST
from vsearch.data.io.atomic import clean
from vsearch.errors import BundleError


@contextmanager
def writing(bundle: Path) -> Iterator[None]:
    """Be the only one to change a bundle, after clearing up after a killed writer.

    Readers need no lock.

    Raises:
        BundleError: it is no bundle, or another process is changing it.
    """
    if not (bundle / MANIFEST).is_file():
        raise BundleError(f"{bundle} is no bundle: it has no {MANIFEST}.")
    with (bundle / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BundleError(
                f"another command is changing {bundle} now. Try again when it has ended."
            ) from error
        clean(bundle, bundle / GENERATIONS, bundle / CHANGES)
        yield
