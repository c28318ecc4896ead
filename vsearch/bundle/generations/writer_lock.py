import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsearch.bundle.generations.files import CHANGES, GENERATIONS, MANIFEST
from vsearch.data.io.atomic import clean
from vsearch.errors import BundleError


@contextmanager
def writing(bundle: Path) -> Iterator[None]:
    """Let only this process change a bundle; first delete what a killed writer left.

    Readers need no lock.

    Raises:
        BundleError: it isn't a bundle, or another process is changing it.
    """
    if not (bundle / MANIFEST).is_file():
        raise BundleError(f"{bundle} isn't a bundle: it has no {MANIFEST}.")
    with (bundle / ".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BundleError(
                f"another command is changing {bundle}. Try again when it has finished."
            ) from error
        clean(bundle, bundle / GENERATIONS, bundle / CHANGES)
        yield
