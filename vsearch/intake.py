import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor

from vsearch.catalogs.base import REQUIRED, CatalogError, boxes, is_blank, refuse
from vsearch.catalogs.folder import FolderCatalog
from vsearch.catalogs.table import TableCatalog
from vsearch.embedder import Embedder
from vsearch.engines.torch import TorchEngine
from vsearch.images import PhotoError, open_photo, to_square

BATCH = 32


@dataclass(frozen=True)
class Intake:
    """Items that can be added to a bundle, and what had to be left out.

    Attributes:
        items: id, path, label, metadata.
        embeddings: theirs, float32 (len(items), dim), unit length.
        left_out: one line for each photo that can't be used.
    """

    items: pd.DataFrame
    embeddings: np.ndarray
    left_out: list[str]


def read_items(table: Path | None, folder: Path | None) -> tuple[pd.DataFrame, list[str]]:
    """Return the items of a CSV or Parquet table, or of a folder of labels' folders, and a line on what is left out.

    Raises:
        CatalogError: there are none, or an item lacks id, path or label.
    """
    left_out: list[str] = []
    if table is not None:
        catalog = TableCatalog(str(table), min_images_per_label=1, missing_photos="drop")
        items, source = catalog.read(), str(table)
        if catalog.report["missing_photos"]:
            left_out = [f"{catalog.report['missing_photos']} rows of {table} have no photo file"]
    else:
        items, source = FolderCatalog(str(folder), min_images_per_label=1).read(), str(folder)
    return checked(items, source), left_out


def checked(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return items with text ids, paths and labels and a fresh row index.

    Raises:
        CatalogError: there are none, or an id, path or label is missing.
    """
    if items.empty:
        raise CatalogError(f"{source}: no items whose photo is there.")
    for column in REQUIRED:
        refuse(items, is_blank(items[column]), source, f"have no {column}", f"Fill in '{column}' or drop the rows.")
    return items.assign(**{name: items[name].astype(str) for name in REQUIRED}).reset_index(drop=True)


def embed_photos(embedder: Embedder, items: pd.DataFrame, title: str = "Embedding") -> Intake:
    """Embed items' photos in batches, with a progress bar; those that can't be read are left out."""
    engine, good, vectors, left_out = TorchEngine(embedder), [], [], []
    places, starts = boxes(items), range(0, len(items), BATCH)
    for start in track(starts, title, disable=len(items) <= BATCH):
        squares: list[Tensor] = []
        for row in range(start, min(start + BATCH, len(items))):
            try:
                photo = open_photo(items["path"].iloc[row], places[row], embedder.preprocessing.fill)
            except PhotoError as error:
                left_out.append(str(error))
                continue
            squares.append(to_square(photo, embedder.preprocessing))
            good.append(row)
        if squares:
            vectors.append(engine.embed(torch.stack(squares)))
    empty = np.empty((0, embedder.dim), dtype=np.float32)
    return Intake(items.iloc[good].reset_index(drop=True), np.concatenate([empty, *vectors]), left_out)


def read_embeddings(file: Path, items: pd.DataFrame | None) -> Intake:
    """Return what `predict` wrote: id, label, embedding; with the paths and metadata of `items` where given.

    Raises:
        CatalogError: it is no such file, embeddings differ in length, or `items` lack an id of it.
    """
    try:
        table = pd.read_parquet(file)
        vectors = np.stack([np.asarray(row, dtype=np.float32) for row in table["embedding"]])
        rows = table.assign(path="")[["id", "path", "label"]].astype(str)
    except (OSError, ValueError, KeyError) as error:
        raise CatalogError(f"{file}: no embeddings as `predict` writes them (id, label, embedding): {error}") from error
    if items is None:
        return Intake(rows, vectors, [])
    known = items.drop_duplicates("id").set_index("id")
    if missing := [id for id in rows["id"] if id not in known.index]:
        raise CatalogError(f"{file}: {len(missing)} ids are not in the table, e.g. {missing[0]!r}.")
    return Intake(known.loc[rows["id"]].reset_index(), vectors, [])


def model_named(text: str, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Return what is known of a model by its fingerprint, or by a bundle's folder or manifest.

    Raises:
        CatalogError: it is neither.
    """
    path = Path(text)
    if path.exists():
        return read(path if path.is_dir() else path.parent)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return {"fingerprint": text}
    raise CatalogError(f"{json.dumps(text)} is no fingerprint (64 hexadecimal digits), and no bundle is there.")
