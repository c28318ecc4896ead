import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsearch.indexes.base import Index


def ids_in(path: Path) -> list[str]:
    """Return the ids in a text file, one a line.

    Raises:
        BundleError: it can't be read.
    """
    from vsearch.generations.base import BundleError

    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BundleError(f"--ids-from {path} can't be read: {reason}. It needs an id on each line.") from error


def chosen_index(named: str | None, config: Path | None, init_args: dict[str, Any] | None) -> "Index":
    """Return the index, not built yet, of a class path or a config's `index:`; `init_args` replace the config's.

    Raises:
        BundleError: there is no such thing, or it refuses the settings.
    """
    from vsearch.generations.manifest import explained
    from vsearch.indexes.base import Index
    from vsearch.spec import build as made

    entry: dict[str, Any] = {"class_path": named} if config is None else _configured(config)
    if init_args is not None:
        entry["init_args"] = init_args
    with explained(str(config or named), "making the index"):
        found: Index = made(entry, Index)
        return found


def settings(text: str) -> dict[str, Any]:
    """Return what a JSON object of settings says, for argparse."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError('not of the form {"name": value}')
    return values


def positive(text: str) -> int:
    """Return a whole number of 1 or more, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def _configured(path: Path) -> dict[str, Any]:
    """Return the `class_path` and `init_args` of a config's `index:`."""
    import yaml

    from vsearch.generations.base import BundleError

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(f"--config {path} can't be read: {error}") from error
    entry = values.get("index") if isinstance(values, dict) else None
    if not isinstance(entry, dict) or "class_path" not in entry:
        raise BundleError(f"--config {path} has no `index:` with a `class_path`, as those in configs/index have.")
    return {"class_path": entry["class_path"], "init_args": entry.get("init_args") or {}}
