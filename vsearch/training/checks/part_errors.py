import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

USERS = (
    ValueError,
    TypeError,
    ImportError,
    OSError,
    AssertionError,
    RuntimeError,
    MisconfigurationException,
)
DATA = {CatalogError: "data.catalog", PhotoError: "data.catalog", SplitError: "data.split"}
SECTIONS = {LightningModule: "model", LightningDataModule: "data", Trainer: "trainer"}
NO_PLUGINS = {"vsearch", "callbacks", *sys.stdlib_module_names}


def refused(error: BaseException | None) -> ConfigError | None:
    """Return the refusal that an error is, or was raised from: of a setting or of the data; None
    for other errors.
    """
    while error is not None:
        if isinstance(error, ConfigError):
            return error
        if key := next((key for kind, key in DATA.items() if isinstance(error, kind)), None):
            return ConfigError(key, str(error))
        error = error.__cause__
    return None


def refusal(key: str, owner: type, error: BaseException) -> ConfigError:
    """Return what `owner`, the part at `key`, refused, with the line of a plugin's file that it
    comes from.

    A setting that the message begins with (`freeze: ...`) or shows in backticks joins the key.
    """
    text = one_line(error).replace(
        "`pip install", "`uv pip install"
    )  # uv's environments have no pip
    if KEYED.match(text):
        return ConfigError(key, text)
    setting = re.match(r"`?(\w+)`?: (.*)", text) or re.search(r"`(?:\w+\()?(\w+)[=`]", text)
    if setting and setting[1] in inspect.signature(owner).parameters:
        inner = "" if key in ("model", "data", "trainer") else ".init_args"
        return ConfigError(
            f"{key}{inner}.{setting[1]}", setting[2] if setting.re.groups == 2 else text
        )
    if not text or isinstance(error, KeyError):  # says little by itself
        failed = traceback.extract_tb(error.__traceback__)[-1:]
        text = f"{type(error).__name__} {text}".strip() + "".join(
            f" at `{frame.line}`" for frame in failed
        )
    text = text if text.startswith(owner.__name__) else f"{owner.__name__}: {text}"
    return ConfigError(key, text + _plugins_line(error))


def _plugins_line(error: BaseException) -> str:
    """Return the innermost file and line that are neither vsearch's nor a library's."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package, file = (
            str(frame.f_globals.get("__name__")).partition(".")[0],
            frame.f_code.co_filename,
        )
        if package not in NO_PLUGINS and "site-packages" not in file:
            found = f" ({Path(file).name}, line {line})"
    return found


def make_naming(config: Namespace, refusals: list[ConfigError]) -> Callable[..., Any]:
    """Return jsonargparse's way to make a part of `config`: what it refuses becomes a ConfigError
    with its key.

    It is added to `refusals`, too: where a setting may be of several types, jsonargparse keeps its
    words alone.
    """
    parts = list(_parts(config.as_dict(), ""))

    def make(class_type: type, *args: Any, **kwargs: Any) -> Any:
        try:
            return class_type(*args, **kwargs)
        except Exception as error:
            plain = type(error) is Exception  # as pytorch-metric-learning raises
            if not plain and not isinstance(error, USERS):
                raise
            refusals.append(refusal(_key(parts, class_type, kwargs), class_type, error))
            raise refusals[-1] from error

    return make


@contextmanager
def naming(refusals: Sequence[ConfigError] = ()) -> Iterator[None]:
    """Raise as a ConfigError what model, data or trainer refuse when they are made, or a callback
    in its `setup`.

    Of an error that has the words of one of the `refusals`, that one is raised.
    """
    try:
        yield
    except ConfigError:
        raise
    except USERS as error:
        if told := next((one for one in refusals if str(one) in str(error)), None):
            raise told from error
        for frame, _ in traceback.walk_tb(error.__traceback__):
            owner, function = frame.f_locals.get("self"), frame.f_code.co_name
            for kind, key in SECTIONS.items():
                if isinstance(owner, kind) and function == "__init__":
                    raise refusal(key, type(owner), error) from error
            if isinstance(owner, Callback) and function == "setup":
                raise refusal(
                    f"trainer.callbacks[{type(owner).__name__}]", type(owner), error
                ) from error
        raise


def inner_parts(part: nn.Module, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the module at `key` and those within it, a wrapped loss for instance, with their keys."""
    for name, inner in part.named_modules():
        yield key + "".join(f".init_args.{step}" for step in name.split(".") if step), inner


def _key(
    parts: list[tuple[str, dict[str, Any]]], class_type: type, arguments: Mapping[str, Any]
) -> str:
    """Return the key of the part of this class; of several, of the one with these arguments."""
    for key, part in parts:
        named = part["class_path"].rpartition(".")[2] == class_type.__name__
        if named and _plain(part.get("init_args") or {}) <= _plain(arguments):
            return key
    return f"{class_type.__module__}.{class_type.__qualname__}"


def _plain(arguments: Mapping[str, Any]) -> set[tuple[str, Any]]:
    return {
        (name, value) for name, value in arguments.items() if isinstance(value, str | int | float)
    }


def _parts(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every part's key and its class_path and init_args; a list's item goes by its class."""
    if isinstance(node, dict):
        if isinstance(node.get("class_path"), str):
            yield key, node
        for name, value in node.items():
            yield from _parts(value, f"{key}.{name}".removeprefix("."))
    for item in node if isinstance(node, list) else []:
        if isinstance(item, dict):
            yield from _parts(item, f"{key}[{str(item.get('class_path')).rpartition('.')[2]}]")
