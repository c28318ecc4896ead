from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from vsearch.data.io.files_below import open_regular
from vsearch.errors import VsearchError

STORES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
}  # fsspec's package for each scheme
EXTRAS = {"s3fs": "s3", "gcsfs": "gs"}
ONE_REQUEST = {"s3fs": {"max_concurrency": 1}}  # else it asks for the length first


class PlaceError(VsearchError, OSError):
    """A URL can't be read; the message says why, and what to do."""


def is_url(place: str | Path) -> bool:
    """Return whether it is a URL (`s3://bucket/key`), not a path."""
    return isinstance(place, str) and "://" in place


def open_file(place: str | Path) -> BinaryIO:
    """Open a local file, or an object at a URL: `s3://bucket/key`, `gs://bucket/key`.

    One request fetches the whole object. fsspec's packages find credentials, region and endpoint:
    AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ~/.aws and so on.

    Raises:
        PlaceError: no such bucket or key, no permission, no connection, an unsupported scheme, or
            its package isn't installed.
        OSError: the local file can't be opened.
    """
    return BytesIO(_fetch(str(place))) if is_url(place) else open_regular(Path(place))


def check_readable(url: str) -> None:
    """Raise a PlaceError if a URL's scheme isn't supported, or its package isn't installed."""
    scheme = url.partition("://")[0]
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES)
        raise PlaceError(f"{scheme}:// is not supported, only {known} and local files.")
    try:
        import_module(STORES[scheme])
    except ImportError as error:
        package = STORES[scheme]
        raise PlaceError(
            f"{package} can't be imported ({error}). `uv sync --extra {EXTRAS[package]}` installs "
            "it."
        ) from error


def _fetch(url: str) -> bytes:
    check_readable(url)
    from fsspec.core import url_to_fs

    try:
        store, path = url_to_fs(url, **ONE_REQUEST.get(STORES[url.partition("://")[0]], {}))
        data: bytes = store.cat_file(path)
    except FileNotFoundError as error:
        raise PlaceError(f"no such bucket or key ({_said(error)}). Correct the URL.") from error
    except PermissionError as error:
        raise PlaceError(
            f"no permission ({_said(error)}). Check the credentials and their read permissions."
        ) from error
    except Exception as error:  # each store's library has its own errors
        raise PlaceError(
            f"can't be fetched ({type(error).__name__}: {_said(error)}). Check endpoint, region "
            "and credentials."
        ) from error
    return data


def _said(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
