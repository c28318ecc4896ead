from importlib import import_module
from typing import Any

from vsearch.errors import VsearchError


class MissingPackage(VsearchError, ImportError):
    """An optional package is not installed; the message says which extra brings it."""


def require(module: str, extra: str) -> Any:
    """Return an optional package; MissingPackage if it can't be imported."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackage(
            f"{module} can't be imported ({error}). `uv sync --extra {extra}` installs it, "
            f"or without a clone `pip install 'WHEEL[{extra}]'`, with the path of vsearch's wheel."
        ) from error
