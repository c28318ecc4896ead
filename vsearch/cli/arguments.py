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
    from vsearch.errors import BundleError

    try:
        return [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BundleError(
            f"--ids-from {path} can't be read: {reason}. It needs an id on each line."
        ) from error


def index_of(args: argparse.Namespace) -> "Index":
    """Return the index that a command's --index or --config names, --init-args in the place of a
    config's.

    Raises:
        BundleError: there is no such class or file, or it can't be made so.
    """
    from vsearch.bundle.generations.manifest import explained
    from vsearch.class_paths import build
    from vsearch.indexes.base import Index

    entry = {"class_path": args.index} if args.index else _configured(args.config)
    if args.init_args is not None:
        entry["init_args"] = args.init_args
    with explained(args.config or args.index, "making the index"):
        found: Index = build(entry, Index)
        return found


def positive(text: str) -> int:
    """Read a whole number of 1 or more.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def settings(text: str) -> dict[str, Any]:
    """Read --init-args.

    Raises:
        ArgumentTypeError: it is no JSON of the form {"name": value}.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON: {error}") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError('not of the form {"name": value}')
    return values


def _configured(path: Path) -> dict[str, Any]:
    """Return the `class_path` and `init_args` of a config's `index:`."""
    import yaml

    from vsearch.errors import BundleError

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BundleError(f"--config {path} can't be read: {error}") from error
    entry = values.get("index") if isinstance(values, dict) else None
    if not isinstance(entry, dict) or "class_path" not in entry:
        raise BundleError(
            f"--config {path} has no `index:` with a `class_path`, as those in configs/index have."
        )
    return {"class_path": entry["class_path"], "init_args": entry.get("init_args") or {}}
