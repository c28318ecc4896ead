import inspect
from importlib import import_module
from typing import Any

from vsearch.errors import VsearchError

PLAIN = (str, int, float, bool, type(None))


class SpecError(VsearchError):
    """A class path names nothing that can be built here."""


def describe(thing: object) -> dict[str, Any]:
    """Return `class_path` and `init_args` that build `thing` again, as plain JSON values.

    Each constructor argument is read from the attribute of the same name; objects among them are
    described in turn. An argument called `weights` is stored as null: what is built again gets its
    weights from elsewhere.

    Raises:
        AttributeError: a constructor argument isn't kept as an attribute.
        TypeError: an argument is of a kind that JSON can't hold and that has no class of its own to
            describe.
    """
    kind = type(thing)
    declared = inspect.signature(kind).parameters.values()
    names = [one.name for one in declared if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    lost = [name for name in names if name != "weights" and not hasattr(thing, name)]
    if lost:
        raise AttributeError(
            f"{kind.__name__} must keep its constructor arguments {lost} as attributes."
        )
    arguments = {
        name: None if name == "weights" else _plain(getattr(thing, name)) for name in names
    }
    return {"class_path": class_path(kind), "init_args": arguments}


def build(entry: dict[str, Any], kind: type = object) -> Any:
    """Build what `describe` described, nested objects first; only modules may be nested.

    Raises:
        SpecError: as `find` does.
    """
    found = find(entry["class_path"], kind)
    return found(**{name: _built(value) for name, value in entry.get("init_args", {}).items()})


def find(path: str, kind: type = object) -> Any:
    """Return the class that a full path names.

    Raises:
        SpecError: it can't be imported, or is no subclass of `kind`.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(f"{path} can't be imported ({error}). Is its file on the path?") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise SpecError(f"{path} is no {kind.__name__}.")
    return found


def class_path(kind: type) -> str:
    """Return the full path that a config names a class by."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    from torch import (
        Tensor,  # takes seconds to import: only where a part of a network is described or built
    )

    if type(value).__module__ == "builtins" or isinstance(value, Tensor):
        raise TypeError(f"{type(value).__name__} can't be described: a config has no such value.")
    return describe(value)


def _built(value: Any) -> Any:
    if isinstance(value, dict):
        from torch import nn

        return (
            build(value, nn.Module)
            if "class_path" in value
            else {name: _built(item) for name, item in value.items()}
        )
    return [_built(item) for item in value] if isinstance(value, list) else value
