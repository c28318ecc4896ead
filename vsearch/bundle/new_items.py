import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.progress import track

from vsearch.bundle.bulk.photos import Photo
from vsearch.bundle.exports.choice import WantedName, choose
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import check_model, model_of, read_fitted
from vsearch.data import embedding_parts as parts
from vsearch.data.catalogs.base import CatalogError, with_texts
from vsearch.data.catalogs.folder import FolderCatalog
from vsearch.data.catalogs.table import TableCatalog
from vsearch.data.decoding import in_threads
from vsearch.data.items import as_table, boxes
from vsearch.data.photos import Box, PhotoError, Preprocessing, read_square
from vsearch.data.regions import Region
from vsearch.errors import BundleError
from vsearch.models.runtimes.base import Runtime

BATCH = 64
CHUNK = 8 * BATCH


@dataclass(frozen=True)
class NewItems:
    """Items that can be added to a bundle, and those that had to be left out.

    Attributes:
        embeddings: float32 (len(items), dim), or with regions (len(items), per_item, dim), unit
            length.
        left_out: a line for each unusable photo, and one for all missing photos.
        n_left_out: how many items these lines are about.
        runtime: the runtime that embedded them, if they were embedded now.
    """

    items: pa.Table
    embeddings: np.ndarray
    left_out: list[str]
    runtime: str = ""
    n_left_out: int = 0


def new_items(
    live: Live,
    table: Path | None,
    folder: Path | None,
    embeddings: Path | None,
    fingerprint: str | None,
    runtime: WantedName = "auto",
    root: str | None = None,
) -> NewItems:
    """Return items of a table or a folder, with embeddings from a file or of their photos.

    `root`: the folder that the table's paths are relative to; None: the table's folder.

    Raises:
        BundleError: the options contradict each other, or the embeddings are of another model.
        CatalogError: a table, folder or file can't be used.
    """
    if (table and folder) or not (table or folder or embeddings):
        raise BundleError(
            "name what to add: --table or --folder, or --embeddings alone or with one of them."
        )
    items = None
    left_out: list[str] = []
    missing = 0
    if table is not None:
        catalog = TableCatalog(str(table), root, min_images_per_label=1, missing_photos="drop")
        items = checked(catalog.read(), str(table))
        if missing := catalog.report["missing_photos"]:
            left_out = [f"{missing} rows of {table} have no photo file"]
    if folder is not None:
        items = checked(FolderCatalog(str(folder), min_images_per_label=1).read(), str(folder))

    if embeddings is not None:
        _check_origin(live, embeddings, fingerprint)
        return read_embeddings(embeddings, items)
    assert items is not None
    chosen = choose(live.bundle, live.fitted, runtime)
    found = embed_for_index(chosen.runtime, items)
    return replace(
        found,
        left_out=[*left_out, *found.left_out],
        n_left_out=missing + len(found.left_out),
        runtime=f"{chosen.runtime.name}, {chosen.why}",
    )


def checked(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return items with text ids, paths and labels and a new row index."""
    if items.empty:
        raise CatalogError(f"{source}: no items with a photo file.")
    return with_texts(items, source).reset_index(drop=True)


def embed_photos(
    runtime: Runtime,
    items: "pa.Table | pd.DataFrame",
    title: str = "Embedding",
    region: Region | None = None,
) -> NewItems:
    """Embed items' photos, or a region of each, with a progress bar; those that can't be read are
    left out.
    """
    items = as_table(items)
    sources = list(zip(items["path"].to_pylist(), boxes(items), strict=True))
    good: list[int] = []
    vectors = [np.empty((0, runtime.dim), dtype=np.float32)]
    left_out = []
    read = partial(_read, runtime.preprocessing, region)
    for start in track(range(0, len(items), CHUNK), title, disable=len(items) <= BATCH):
        # all cores decode, then all compute: both at once would be slower
        squares = []
        for row, photo in enumerate(in_threads(read, sources[start : start + CHUNK]), start):
            if photo.square is None:
                left_out.append(photo.error)
            else:
                squares.append(photo.square)
                good.append(row)
        for first in range(0, len(squares), BATCH):
            vectors.append(runtime.embed(np.stack(squares[first : first + BATCH])))
    return NewItems(items.take(pa.array(good, pa.int64())), np.concatenate(vectors), left_out)


def embed_for_index(runtime: Runtime, items: "pa.Table | pd.DataFrame") -> NewItems:
    """Embed items' photos, and the regions that the index holds of each, as `embed_photos` does.

    With regions the embeddings are float32 (n, per_item, dim), the whole photo's first.
    """
    found = embed_photos(runtime, items)
    _, *regions = runtime.preprocessing.regions
    if not regions:
        return found
    vectors = [found.embeddings]
    for number, region in enumerate(regions, start=1):
        title = f"Embedding region {number} of {len(regions)}"
        again = embed_photos(runtime, found.items, title, region)
        if again.left_out:
            raise PhotoError(f"A photo has changed meanwhile: {again.left_out[0]}")
        vectors.append(again.embeddings)
    return replace(found, embeddings=np.stack(vectors, axis=1))


def _read(
    preprocessing: Preprocessing, region: Region | None, source: tuple[str, Box | None]
) -> Photo:
    try:
        return Photo(read_square(source[0], preprocessing, source[1], region))
    except PhotoError as error:
        return Photo(None, error=str(error))


def read_embeddings(place: Path, items: pd.DataFrame | None) -> NewItems:
    """Read what `predict` or `embed` wrote, with the paths and metadata of `items` if given."""
    if place.is_dir():
        folder = parts.open_parts(place).whole()
        rows = folder.ids()
        vectors = folder.vectors(np.arange(folder.starts[-1]))
    else:
        rows, vectors = parts.read(place)
    return NewItems(as_table(described(rows, items, place)), vectors, [])


def described(rows: pd.DataFrame, items: pd.DataFrame | None, source: Path) -> pd.DataFrame:
    """Return rows (id, label) as items, with their paths and metadata from `items`."""
    if items is None:
        return rows.assign(path="")[["id", "path", "label"]]
    known = items.drop_duplicates("id").set_index("id")
    if missing := [id for id in rows["id"] if id not in known.index]:
        raise CatalogError(
            f"{source}: {len(missing)} ids are not in the table, e.g. {missing[0]!r}."
        )
    return known.loc[rows["id"]].reset_index()


def _model_named(text: str) -> dict[str, Any]:
    """Return the known facts about a model, from a fingerprint or a bundle's folder or manifest."""
    path = Path(text)
    if path.exists():
        return model_of(read_fitted(path if path.is_dir() else path.parent))
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return {"fingerprint": text}
    raise CatalogError(
        f"{json.dumps(text)} is neither a fingerprint (64 hexadecimal digits) nor a bundle."
    )


def _check_origin(live: Live, embeddings: Path, fingerprint: str | None) -> None:
    ours = model_of(live.fitted)
    if embeddings.is_dir():
        theirs = parts.open_parts(embeddings).manifest["model"]
    elif fingerprint is not None:
        theirs = _model_named(fingerprint)
    else:
        raise BundleError(
            "--embeddings needs --fingerprint, of the model that made them; here: "
            f"{ours['fingerprint']}"
        )
    check_model(theirs, ours, f"{embeddings}: its embeddings are")
