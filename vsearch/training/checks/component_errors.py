import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from vsearch.data.catalogs.base import CatalogError
from vsearch.data.photos import PhotoError
from vsearch.data.splits import SplitError
from vsearch.errors import KEYED, ConfigError, one_line

REFUSALS = (
    ValueError,
    TypeError,
    ImportError,
    OSError,
    AssertionError,
    RuntimeError,
    MisconfigurationException,
)
DATA_ERRORS = {CatalogError: "data.catalog", PhotoError: "data.catalog", SplitError: "data.split"}
SECTIONS = {LightningModule: "model", LightningDataModule: "data", Trainer: "trainer"}
NO_PLUGINS = {"vsearch", "callbacks", *sys.stdlib_module_names}


@dataclass(frozen=True)
class Component:
    """A component of a configuration: an object that a class_path and init_args describe."""

    key: str
    class_path: str
    init_args: Mapping[str, Any]


def refused(error: BaseException | None) -> ConfigError | None:
    """Return the refusal that an error is, or that caused it."""
    while error is not None:
        if isinstance(error, ConfigError):
            return error
        for kind, key in DATA_ERRORS.items():
            if isinstance(error, kind):
                return ConfigError(key, str(error))
        error = error.__cause__
    return None


def refusal(key: str, owner: type, error: BaseException) -> ConfigError:
    """Return the refusal of `owner`, at `key`, with the line of a plugin's file.

    If the message begins with a setting (`freeze: ...`) or has one in backticks, it joins the key.
    """
    # uv's environments have no pip.
    text = one_line(error).replace("`pip install", "`uv pip install")
    if KEYED.match(text):
        return ConfigError(key, text)

    first = re.match(r"`?(\w+)`?: (.*)", text)
    setting = first or re.search(r"`(?:\w+\()?(\w+)[=`]", text)
    if setting and setting[1] in inspect.signature(owner).parameters:
        inner = "" if key in SECTIONS.values() else ".init_args"
        return ConfigError(f"{key}{inner}.{setting[1]}", first[2] if first else text)

    if not text or isinstance(error, KeyError):  # the text alone says little
        text = f"{type(error).__name__} {text}".strip()
        for frame in traceback.extract_tb(error.__traceback__)[-1:]:
            text += f" at `{frame.line}`"
    if not text.startswith(owner.__name__):
        text = f"{owner.__name__}: {text}"
    return ConfigError(key, text + _plugins_line(error))


def _plugins_line(error: BaseException) -> str:
    """Return the innermost file and line outside vsearch and libraries."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        file = frame.f_code.co_filename
        if package not in NO_PLUGINS and "site-packages" not in file:
            found = f" ({Path(file).name}, line {line})"
    return found


def make_naming(config: Namespace, refusals: list[ConfigError]) -> Callable[..., Any]:
    """Return a function that makes objects of `config`; failures add a ConfigError to `refusals`.

    If a setting may have several types, jsonargparse keeps only the error's text.
    """
    components = list(_components(config.as_dict(), ""))

    def make(class_type: type, *args: Any, **kwargs: Any) -> Any:
        try:
            return class_type(*args, **kwargs)
        except Exception as error:
            is_plain = type(error) is Exception  # as pytorch-metric-learning raises
            if not is_plain and not isinstance(error, REFUSALS):
                raise
            refusals.append(refusal(_key(components, class_type, kwargs), class_type, error))
            raise refusals[-1] from error

    return make


@contextmanager
def naming(refusals: Sequence[ConfigError] = ()) -> Iterator[None]:
    """Turn refusals of model, data, trainer or a callback's `setup` into a ConfigError.

    An error that contains the text of one of the `refusals` becomes that one.
    """
    try:
        yield
    except ConfigError:
        raise
    except REFUSALS as error:
        for known in refusals:
            if str(known) in str(error):
                raise known from error
        for frame, _ in traceback.walk_tb(error.__traceback__):
            owner = frame.f_locals.get("self")
            key = _refusing(owner, frame.f_code.co_name)
            if key is not None:
                raise refusal(key, type(owner), error) from error
        raise


def _refusing(owner: object, function: str) -> str | None:
    if function == "__init__":
        for kind, key in SECTIONS.items():
            if isinstance(owner, kind):
                return key
    if function == "setup" and isinstance(owner, Callback):
        return f"trainer.callbacks[{type(owner).__name__}]"
    return None


def inner_components(component: nn.Module, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the module at `key` and those inside it, such as a wrapped loss, with their keys."""
    for name, inner in component.named_modules():
        steps = name.split(".") if name else []
        yield key + "".join(f".init_args.{step}" for step in steps), inner


def _key(components: list[Component], class_type: type, arguments: Mapping[str, Any]) -> str:
    """Return the key of the component of this class; if several match, the arguments decide."""
    for component in components:
        same_class = component.class_path.rpartition(".")[2] == class_type.__name__
        if same_class and _plain(component.init_args) <= _plain(arguments):
            return component.key
    return f"{class_type.__module__}.{class_type.__qualname__}"


def _plain(arguments: Mapping[str, Any]) -> set[tuple[str, Any]]:
    return {pair for pair in arguments.items() if isinstance(pair[1], str | int | float)}


def _components(node: Any, key: str) -> Iterator[Component]:
    if isinstance(node, dict):
        class_path = node.get("class_path")
        if isinstance(class_path, str):
            yield Component(key, class_path, node.get("init_args") or {})
        for name, value in node.items():
            yield from _components(value, f"{key}.{name}".removeprefix("."))
    elif isinstance(node, list):
        for item in node:
            if isinstance(item, dict):
                class_name = str(item.get("class_path")).rpartition(".")[2]
                yield from _components(item, f"{key}[{class_name}]")
