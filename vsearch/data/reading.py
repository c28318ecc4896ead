import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from vsearch.data.catalogs.base import Catalog, CatalogError
from vsearch.data.decoding import scan
from vsearch.data.items import BOX, REQUIRED, boxes
from vsearch.data.photos import PhotoError
from vsearch.data.split_leaks import warn_of_leaks
from vsearch.data.splits import PARTS, Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Items:
    """A catalog that is read, checked and split.

    Attributes:
        items: those whose photos can be used, numbered from 0, with `split` and `label_code`.
        content_hashes: hashes of their pixels.
        skipped: id, path, label and error of the other items.
    """

    items: pd.DataFrame
    content_hashes: pd.Series
    skipped: pd.DataFrame


def read(
    catalog: Catalog,
    split: Split,
    axes: Sequence[str],
    on_bad_image: Literal["skip", "error"],
    group: str | None = None,
) -> Items:
    """Read a prepared catalog, decode every photo once, and split the usable items.

    A warning counts products, with equal values in the column `group`, in several parts.

    Raises:
        CatalogError: the catalog can't be read, or lacks the group or one of the axes.
        PhotoError: photos can't be used.
        SplitError: the catalog can't be split as asked.
    """
    items = catalog.items()
    check_axes(items, axes, type(catalog).__name__, "data.axes")
    if group is not None:
        _check_group(items, group, type(catalog).__name__)
    found = scan(items, boxes(items))
    bad = found["error"].notna()
    skipped = _skipped(items[bad].assign(error=found.loc[bad, "error"]), on_bad_image)
    if bad.all():
        raise PhotoError(
            f"None of the {len(items)} photos can be used. The first: {found['error'].iloc[0]}"
        )
    items = items.assign(content_hash=found["content_hash"])[~bad].reset_index(drop=True)
    content_hashes = items["content_hash"]
    items["split"] = split.assign(items)
    if group not in (None, "label"):  # photos of a label are meant to find each other
        warn_of_leaks(items, f"`data.group: {group}`", group, "products")
    items["label_code"], labels = pd.factorize(items["label"], sort=True)
    counts = ", ".join(f"{part} {(items['split'] == part).sum():,}" for part in PARTS)
    log.info(
        "%s: %s items, %s labels (%s)",
        type(catalog).__name__,
        f"{len(items):,}",
        len(labels),
        counts,
    )
    return Items(items.drop(columns="content_hash"), content_hashes, skipped)


def check_axes(items: pd.DataFrame, axes: Sequence[str], catalog: str, key: str) -> None:
    """Refuse axes, of the setting `key`, that aren't metadata columns of the catalog."""
    metadata = _metadata(items)
    if wrong := [axis for axis in axes if axis not in metadata or axes.count(axis) > 1]:
        raise CatalogError(
            f"`{key}`: {wrong} can't be axes. Name metadata columns, each once; {catalog} has "
            f"{metadata or 'none'}. For no axes, set it to null."
        )


def _check_group(items: pd.DataFrame, group: str, catalog: str) -> None:
    columns = ["label", *_metadata(items)]
    if group not in columns:
        raise CatalogError(
            f"`data.group`: {group!r} isn't a column that can name products. Name one of "
            f"{columns} of {catalog}, or set it to null: then each photo is a product."
        )


def _metadata(items: pd.DataFrame) -> list[str]:
    return [column for column in items.columns if column not in (*REQUIRED, *BOX)]


def _skipped(bad: pd.DataFrame, on_bad_image: Literal["skip", "error"]) -> pd.DataFrame:
    if bad.empty:
        return pd.DataFrame()
    first = "\n  ".join(bad["error"].head(5))
    if on_bad_image == "error":
        raise PhotoError(
            f"{len(bad)} photos can't be used:\n  {first}\nRemove or replace them, or set "
            "`on_bad_image: skip`."
        )
    log.warning(
        "Skipped %d photos that can't be used (listed in skipped.csv):\n  %s", len(bad), first
    )
    return bad[["id", "path", "label", "error"]]
