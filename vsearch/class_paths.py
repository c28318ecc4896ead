import inspect
from importlib import import_module
from typing import Any

from vsearch.errors import VsearchError

PLAIN = (str, int, float, bool, type(None))
NOT_IN_CONFIGS = ("builtins", "torch", "torch.nn.parameter")  # modules of classes: sets, tensors


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


def build(entry: dict[str, Any], kind: type, nested: type | None = None) -> Any:
    """Build what `describe` described.

    Args:
        entry: `class_path` and `init_args`.
        kind: what it must be.
        nested: what objects among its arguments must be; they are built first. None: as `kind`.

    Raises:
        SpecError: as `find` does.
    """
    found = find(entry["class_path"], kind)
    arguments = entry.get("init_args", {})
    return found(**{name: _built(value, nested or kind) for name, value in arguments.items()})


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
    if type(value).__module__ in NOT_IN_CONFIGS:
        raise TypeError(f"{type(value).__name__} can't be described: a config has no such value.")
    return describe(value)


def _built(value: Any, kind: type) -> Any:
    if isinstance(value, list):
        return [_built(item, kind) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_path" in value:
        return build(value, kind)
    return {name: _built(item, kind) for name, item in value.items()}
