from importlib import import_module
from typing import Any


def require(module: str, extra: str) -> Any:
    """Return an optional package.

    Raises:
        ImportError: it isn't installed; says which extra brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} can't be imported ({error}). `uv sync --extra {extra}` installs it."
        ) from error
