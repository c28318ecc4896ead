import inspect
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from vsearch.errors import VsearchError

PLAIN = (str, int, float, bool, type(None))
NOT_IN_CONFIGS = ("builtins", "torch", "torch.nn.parameter")  # modules of classes: sets, tensors
# What a bundle may name. Importing other modules runs their code, and a stranger may have made it.
OWN = (
    "vsearch.data.views",
    "vsearch.data.regions",
    "vsearch.models",
    "vsearch.indexes",
    "torch.nn",
    "torchvision.ops",
)
PLUGINS = "VSEARCH_PLUGINS"  # in the environment, so that started processes have it too


class SpecError(VsearchError):
    """A class path names nothing that can be built."""


def describe(thing: object) -> dict[str, Any]:
    """Return `class_path` and `init_args` that build `thing` again, as plain JSON values.

    Each constructor argument is read from the attribute of the same name; objects among them are
    described the same way. An argument called `weights` is stored as null: weights come from
    elsewhere.

    Raises:
        AttributeError: a constructor argument isn't kept as an attribute.
        TypeError: JSON can't hold an argument, and it has no class to describe.
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
    """Build the object that `describe` described.

    Args:
        entry: `class_path` and `init_args`.
        kind: the class that it must have.
        nested: the class that objects among its arguments must have; they are built first. None:
            `kind`.

    Raises:
        SpecError: as `find` does.
    """
    found = find(entry["class_path"], kind)
    arguments = entry.get("init_args", {})
    return found(**{name: _built(value, nested or kind) for name, value in arguments.items()})


def find(path: str, kind: type = object) -> Any:
    """Return the class that a full path names.

    Only modules of `OWN` and trusted plugins (`trust`) are imported. Modules that this process has
    already loaded are found too: a fit's own config named them.

    Raises:
        SpecError: it can't be imported, or isn't a subclass of `kind`.
    """
    module, _, name = str(path).rpartition(".")
    try:
        if _is_of(module, OWN):
            found = getattr(import_module(module), name)
        elif _is_of(module, trusted()):
            add_current_folder()
            found = getattr(import_module(module), name)
        else:
            found = vars(sys.modules[module])[name]
    except KeyError:
        raise SpecError(
            f"{path} can't be imported: vsearch doesn't run a module only because a bundle names "
            f"it. If you know and trust it, add `--plugins {module or path}` to the command (also "
            f"to `serve`), or set {PLUGINS}."
        ) from None
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise SpecError(f"{path} can't be imported ({error}). Is its file on the path?") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise SpecError(f"{path} is not a subclass of {kind.__name__}.")
    return found


def trust(modules: Iterable[str]) -> None:
    """Let bundles name classes of these modules and their submodules: the user vouches for them.

    Processes that are started from now on trust them too.
    """
    new = [name for name in modules if name and not _is_of(name, (*OWN, *trusted()))]
    if new:
        os.environ[PLUGINS] = ",".join([*trusted(), *new])


def trusted() -> list[str]:
    """Return the modules that the user vouches for."""
    return [name.strip() for name in os.environ.get(PLUGINS, "").split(",") if name.strip()]


def plugins_of(value: Any) -> list[str]:
    """Return the modules that must be trusted for the class paths anywhere in plain JSON values."""
    if isinstance(value, list):
        return sorted({name for item in value for name in plugins_of(item)})
    if not isinstance(value, dict):
        return []
    module = str(value.get("class_path", "")).rpartition(".")[0]
    named = [module] if module and not _is_of(module, OWN) else []
    return sorted({*named, *plugins_of([*value.values()])})


def add_current_folder() -> None:
    """Let modules be imported from the current folder, after installed ones."""
    folder = os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    if folder not in sys.path:
        sys.path.append(folder)


def class_path(kind: type) -> str:
    """Return the full path that a config names a class by."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_of(module: str, packages: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if type(value).__module__ in NOT_IN_CONFIGS:
        raise TypeError(f"{type(value).__name__} can't be described: configs can't hold it.")
    return describe(value)


def _built(value: Any, kind: type) -> Any:
    if isinstance(value, list):
        return [_built(item, kind) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_path" in value:
        return build(value, kind)
    return {name: _built(item, kind) for name, item in value.items()}
