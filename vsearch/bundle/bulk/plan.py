import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vsearch.bundle.generations.manifest import check_model
from vsearch.data.catalogs.base import refuse_repeated_ids
from vsearch.data.embedding_parts import ERRORS, MANIFEST, PARTS, SCHEMA, Parts, open_parts
from vsearch.data.io.atomic import MAKING, replace_file
from vsearch.data.items import BOX, REQUIRED, boxes
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Name, Precision


@dataclass(frozen=True)
class Network:
    """The network and runtime that compute all embeddings of a folder."""

    runtime: Name
    precision: Precision


def begin(
    folder: Path, model: dict[str, Any], items: pd.DataFrame, source: str, part_size: int
) -> Parts | None:
    """Return the folder begun for this model and catalog; None: it is new or empty."""
    refuse_repeated_ids(items, source)
    if not (folder / MANIFEST).exists():
        if folder.is_file() or any(folder.glob("[!.]*")):
            raise BundleError(
                f"{folder} exists and holds something else. Name a new or empty folder."
            )
        return None
    parts = open_parts(folder)
    check_model(parts.manifest["model"], model, f"{folder}: its embeddings are")
    theirs, ours = parts.manifest["catalog"], digests(items)
    if differ := [name for name in ours if ours[name] != theirs.get(name)]:
        raise BundleError(
            f"{folder} began with another catalog ({theirs.get('source')}: {theirs['items']:,} "
            f"items; {source}: {len(items):,}). Differences: {', '.join(differ)}. Name a new "
            "folder, or use the original catalog."
        )
    if parts.manifest["part_size"] != part_size:
        raise BundleError(
            f"{folder} began with --part-size {parts.manifest['part_size']}, not {part_size}."
        )
    return parts


def start(
    folder: Path,
    model: dict[str, Any],
    items: pd.DataFrame,
    source: str,
    part_size: int,
    network: Network,
) -> Parts:
    """Write a new folder's manifest, unless another process was first; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "schema": SCHEMA,
        "model": model,
        "network": asdict(network),
        "catalog": {"source": source, **digests(items)},
        "part_size": part_size,
    }
    if not (folder / MANIFEST).exists():
        mine = folder / f"{MAKING}{own_name()}{MANIFEST}"
        replace_file(mine, json.dumps(manifest, indent=2).encode())
        with suppress(FileExistsError):  # all processes use the first one
            os.link(mine, folder / MANIFEST)
        mine.unlink()
    for kind in (PARTS, ERRORS):
        (folder / kind).mkdir(exist_ok=True)
    parts = begin(folder, model, items, source, part_size)
    assert parts is not None
    return parts


def own_name() -> str:
    """Return a name that no other process has, on any machine."""
    return f"{os.uname().nodename}-{os.getpid()}-"


def digests(items: pd.DataFrame) -> dict[str, Any]:
    """Return the number of items, and a SHA-256 of each column that affects the embeddings."""
    columns = {name: "\0".join(items[name]).encode() for name in REQUIRED}
    if set(BOX) <= set(items.columns):
        columns["box"] = np.array([box or [np.nan] * len(BOX) for box in boxes(items)]).tobytes()
    return {
        "items": len(items),
        **{name: hashlib.sha256(data).hexdigest() for name, data in columns.items()},
    }
