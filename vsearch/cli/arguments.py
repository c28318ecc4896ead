import argparse
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.data.io.encodings import encoding_of
from vsearch.errors import VsearchError

if TYPE_CHECKING:
    from vsearch.indexes.base import Index


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Declare the bundle that a command uses."""
    parser.add_argument("bundle", type=Path, help="a run's bundle: lightning_logs/version_N/bundle")
    add_trust(parser)


def add_photos_root(parser: argparse.ArgumentParser) -> None:
    """Declare the folder of photos that were moved."""
    parser.add_argument(
        "--photos-root",
        type=Path,
        metavar="FOLDER",
        help="where the items' photos are now, if they were moved since the fit",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Declare what a bundle, perhaps a stranger's, may use; `trust_named` applies it."""
    parser.add_argument(
        "--plugins",
        type=names,
        default=[],
        metavar="MODULE,...",
        help="your own modules whose classes the bundle may use: my_plugins",
    )
    parser.add_argument(
        "--store-hosts",
        type=names,
        default=[],
        metavar="HOST,...",
        help="vector stores that the bundle may use: db.example.com:5432; /plain: without TLS",
    )


def trust_named(args: argparse.Namespace) -> None:
    """Let bundles use what `add_trust`'s arguments name, if a command has them."""
    if getattr(args, "plugins", None):
        from vsearch.class_paths import trust

        trust(args.plugins)
    if getattr(args, "store_hosts", None):
        from vsearch.data.io.named_hosts import name_hosts

        name_hosts(args.store_hosts)


def add_catalog(parser: argparse.ArgumentParser, required: bool) -> None:
    """Declare the three ways to name a catalog; `catalog_of` returns the one used."""
    catalog = parser.add_mutually_exclusive_group(required=required)
    catalog.add_argument(
        "--table", help="CSV or Parquet with id, path, label; may be a URL: s3://bucket/items.csv"
    )
    catalog.add_argument("--folder", help="a folder of photos for each label")
    catalog.add_argument(
        "--catalog", metavar="YAML", help="a file with `data.catalog`: configs/data/fashion.yaml"
    )


def catalog_of(args: argparse.Namespace) -> str:
    """Return the table, folder or YAML that `add_catalog`'s arguments name, or an empty text."""
    return args.table or args.folder or args.catalog or ""


def add_runtime(parser: argparse.ArgumentParser, line: str) -> None:
    """Declare the runtime that embeds photos; `line` is the help."""
    kinds = ("auto", "torch", "onnx", "openvino")
    parser.add_argument("--runtime", choices=kinds, default="auto", help=line)


def add_index(parser: argparse.ArgumentParser) -> None:
    """Declare how an index is named; `index_of` builds it."""
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--index", metavar="CLASS_PATH", help="vsearch.indexes.faiss.FaissIndex")
    kind.add_argument(
        "--config", type=Path, metavar="YAML", help="a file with `index:`: configs/index/hnsw.yaml"
    )
    parser.add_argument(
        "--init-args",
        type=settings,
        metavar="JSON",
        help='{"factory": "SQ8"}; replaces those of the config',
    )


def index_of(args: argparse.Namespace) -> "Index":
    """Return the index that `add_index`'s arguments name."""
    from vsearch.bundle.generations.manifest import explained
    from vsearch.class_paths import build, trust
    from vsearch.indexes.base import Index

    entry = {"class_path": args.index} if args.index else _configured(args.config)
    trust([str(entry["class_path"]).rpartition(".")[0]])
    if args.init_args is not None:
        entry["init_args"] = args.init_args
    with explained(args.config or args.index, "making the index"):
        found: Index = build(entry, Index)
        return found


def ids_in(path: Path) -> list[str]:
    """Return the ids in a text file, one per line."""
    try:
        content = path.read_bytes()
        lines = re.split(r"[\r\n]+", content.decode(encoding_of(content)))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 or UTF-16 text"
        raise VsearchError(
            f"--ids-from {path} can't be read: {reason}. It needs one id per line."
        ) from error
    return [line.strip() for line in lines if line.strip()]


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def whole(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def number(text: str) -> float:
    """Read a finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def names(text: str) -> list[str]:
    """Read a comma-separated list."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma-separated list: one,two")
    return words


def settings(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError('not of the form {"name": value}')
    return values


def _configured(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise VsearchError(f"--config {path} can't be read: {error}") from error
    entry = values.get("index") if isinstance(values, dict) else None
    if not isinstance(entry, dict) or "class_path" not in entry:
        raise VsearchError(
            f"--config {path} has no `index:` with a `class_path`; see the files in configs/index."
        )
    return {"class_path": entry["class_path"], "init_args": entry.get("init_args") or {}}
