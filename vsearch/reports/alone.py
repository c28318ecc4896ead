import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def fails_alone(what: str) -> Iterator[None]:
    """Turn an error into a warning that names what is missing: the trained model isn't lost."""
    try:
        yield
    except Exception as error:  # libraries draw and write it, from any data
        log.warning("%s can't be made (%r): the bundle is complete without it.", what, error)
