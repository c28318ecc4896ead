import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.progress import track

from vsearch.bundle.exports.choice import WantedName, choose
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import check_model, model_of, read_fitted
from vsearch.data import embedding_parts as parts
from vsearch.data.catalogs.base import CatalogError, is_blank, refuse
from vsearch.data.catalogs.folder import FolderCatalog
from vsearch.data.catalogs.table import TableCatalog
from vsearch.data.decoding import in_threads
from vsearch.data.embedding_parts import open_parts
from vsearch.data.items import REQUIRED, as_table, boxes
from vsearch.data.photos import Box, PhotoError, Preprocessing, read_square
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Runtime

BATCH = 64
CHUNK = 8 * BATCH


@dataclass(frozen=True)
class Intake:
    """Items that can be added to a bundle, and what had to be left out.

    Attributes:
        items: id, path, label, metadata.
        embeddings: theirs, float32 (len(items), dim), unit length.
        left_out: one line for each photo that can't be used.
        runtime: what embedded them, if they were embedded now.
    """

    items: pa.Table
    embeddings: np.ndarray
    left_out: list[str]
    runtime: str = ""


def read_items(table: Path | None, folder: Path | None) -> tuple[pd.DataFrame, list[str]]:
    """Return the items of a CSV or Parquet table, or of a folder of labels' folders, and a line on
    what is left out.

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
        refuse(
            items,
            is_blank(items[column]),
            source,
            f"have no {column}",
            f"Fill in '{column}' or drop the rows.",
        )
    return items.assign(**{name: items[name].astype(str) for name in REQUIRED}).reset_index(
        drop=True
    )


def embed_photos(
    runtime: Runtime, items: "pa.Table | pd.DataFrame", title: str = "Embedding"
) -> Intake:
    """Embed items' photos, with a progress bar; those that can't be read are left out.

    Args:
        runtime: what computes.
        items: id, path, label, maybe a box.
        title: of the progress bar.
    """
    items = as_table(items)
    good, vectors, left_out = [], [np.empty((0, runtime.dim), dtype=np.float32)], []
    sources = [*zip(items["path"].to_pylist(), boxes(items), strict=True)]
    for start in track(range(0, len(items), CHUNK), title, disable=len(items) <= BATCH):
        # all cores decode, then all compute: at once they would wait for one another
        found = [
            *in_threads(partial(_square, runtime.preprocessing), sources[start : start + CHUNK])
        ]
        left_out += [square for square in found if isinstance(square, str)]
        good += [
            start + number for number, square in enumerate(found) if not isinstance(square, str)
        ]
        squares = [square for square in found if not isinstance(square, str)]
        for first in range(0, len(squares), BATCH):
            vectors.append(runtime.embed(np.stack(squares[first : first + BATCH])))
    return Intake(items.take(pa.array(good, pa.int64())), np.concatenate(vectors), left_out)


def _square(preprocessing: Preprocessing, source: tuple[str, Box | None]) -> np.ndarray | str:
    """Return a photo as the network sees it, uint8 (3, S, S), or why it can't be used."""
    try:
        return read_square(source[0], preprocessing, source[1])
    except PhotoError as error:
        return str(error)


def read_embeddings(place: Path, items: pd.DataFrame | None) -> Intake:
    """Return what `predict` or `embed` wrote: id, label, embedding; with paths and metadata of
    `items` where given.

    Raises:
        CatalogError: it is no such file or folder, embeddings differ in length, or `items` lack an
            id of it.
    """
    if not place.is_dir():
        rows, vectors = parts.read(place)
    else:
        folder = parts.open_parts(place).whole()
        rows, vectors = folder.ids(), folder.vectors(np.arange(folder.starts[-1]))
    return Intake(as_table(described(rows, items, place)), vectors, [])


def described(rows: pd.DataFrame, items: pd.DataFrame | None, source: Path) -> pd.DataFrame:
    """Return rows (id, label) as items, with the paths and metadata that `items` have for their
    ids, if given.

    Raises:
        CatalogError: `items` lack an id.
    """
    if items is None:
        return rows.assign(path="")[["id", "path", "label"]]
    known = items.drop_duplicates("id").set_index("id")
    if missing := [id for id in rows["id"] if id not in known.index]:
        raise CatalogError(
            f"{source}: {len(missing)} ids are not in the table, e.g. {missing[0]!r}."
        )
    return known.loc[rows["id"]].reset_index()


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
    raise CatalogError(
        f"{json.dumps(text)} is no fingerprint (64 hexadecimal digits), and no bundle is there."
    )


def incoming(
    live: Live,
    table: Path | None,
    folder: Path | None,
    embeddings: Path | None,
    fingerprint: str | None,
    runtime: WantedName = "auto",
) -> Intake:
    """Return what is to be added: items of a table or a folder, with embeddings from a file or of
    their photos.

    The photos are embedded by the runtime that is wanted, in its quickest precision (see
    `exports.choice.choose`).

    Raises:
        BundleError: the sources make no sense together, the embeddings are of another model, there
            is no such runtime.
        CatalogError: a source can't be used.
    """
    if (table and folder) or not (table or folder or embeddings):
        raise BundleError(
            "name what to add: --table or --folder, or --embeddings, which may go with one of them."
        )
    items, gone = read_items(table, folder) if table or folder else (None, [])
    if embeddings is not None:
        _check_origin(live, embeddings, fingerprint)
        return read_embeddings(embeddings, items)
    if items is None:
        raise CatalogError("there is nothing to add.")
    chosen = choose(live.bundle, live.fitted, runtime)
    found = embed_photos(chosen.runtime, items)
    return Intake(
        found.items,
        found.embeddings,
        [*gone, *found.left_out],
        f"{chosen.runtime.name}, {chosen.why}",
    )


def _check_origin(live: Live, embeddings: Path, fingerprint: str | None) -> None:
    ours = model_of(live.fitted)
    if embeddings.is_dir():
        check_model(
            open_parts(embeddings).manifest["model"], ours, f"{embeddings}: its embeddings are"
        )
        return
    if fingerprint is None:
        raise BundleError(
            "--embeddings needs --fingerprint, of the model that made them; here: "
            f"{ours['fingerprint']}"
        )
    theirs = model_named(fingerprint, lambda folder: model_of(read_fitted(folder)))
    check_model(theirs, ours, f"{embeddings}: its embeddings are")
