import logging
import os
from abc import ABC, abstractmethod

import pandas as pd

from vsearch.data.io.object_stores import is_url
from vsearch.data.items import BOX, REQUIRED
from vsearch.errors import VsearchError

logger = logging.getLogger(__name__)


class CatalogError(VsearchError):
    """A catalog cannot be used as it is; the message names the row and says what to do."""


class Catalog(ABC):
    """Where items come from: one subclass, one source.

    A subclass implements `read`, and `prepare` when files must be made first (drawn, exported,
    unpacked). Everybody else calls `items`, which checks what `read` returned.

    Attributes:
        synthetic: true when the photos are drawn, not taken; every report says so.
    """

    synthetic: bool = False

    def prepare(self) -> None:  # noqa: B027 (optional hook)
        """Make the photos if need be. Safe to call twice; called by one process only."""

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """Return one row per item with the columns `id`, `path` and `label`.

        `path` leads to the photo from the current folder. Optional columns with a meaning: `split`,
        `is_query`, `is_gallery`, `sequence`, and the box `x_1, y_1, x_2, y_2` in pixels. Others are
        metadata; the split's `group` and `data.axes` may name some of them. An index with a name
        (`line`, `row`) is an item's place in the source: errors tell it.
        """

    def items(self) -> pd.DataFrame:
        """Return the checked items: `id` and `label` are non-empty text, ids are unique.

        Raises:
            CatalogError: a column or value is missing, the table is empty, an id is repeated, a
                label has a single photo, a photo is no file, or a box is incomplete or empty.
        """
        return check(self.read(), source=type(self).__name__)


def check(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return `items` with text ids and labels and a fresh row index; refuse what can't be used."""
    missing = [column for column in REQUIRED if column not in items]
    if missing:
        raise CatalogError(
            f"{source}: missing column(s) {missing}; the table has {list(items.columns)}."
        )
    if items.empty:
        raise CatalogError(
            f"{source}: no items. Check the folder or file, and the filters if there are any."
        )
    items = with_texts(items, source)
    refuse_repeated_ids(items, source)
    advice = "Correct the path, or drop the rows."
    refuse(items, ~are_files(items["path"]), source, "have no photo file", advice)
    alone = items.groupby("label")["id"].transform("size") == 1
    advice = (
        "A label needs 2 photos or more to be found again: add photos, merge labels, or set "
        "min_images_per_label."
    )
    refuse(items, alone, source, "are the only photo of their label", advice)
    _check_boxes(items, source)
    return items.reset_index(drop=True)


def _check_boxes(items: pd.DataFrame, source: str) -> None:
    columns = [column for column in BOX if column in items]
    if not columns:
        return
    if len(columns) < len(BOX):
        raise CatalogError(
            f"{source}: a box needs the columns {list(BOX)}; the table has only {columns}."
        )
    box = items[list(BOX)].apply(pd.to_numeric, errors="coerce")
    incomplete = box.isna().any(axis=1) & items[list(BOX)].notna().any(axis=1)
    advice = "Write four numbers, or leave all four empty."
    refuse(items, incomplete, source, "have an incomplete box", advice)
    empty = (box["x_1"] >= box["x_2"]) | (box["y_1"] >= box["y_2"])
    refuse(items, empty, source, "have an empty box", "Write pixels with x_1 < x_2 and y_1 < y_2.")


def with_texts(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return items whose ids, paths and labels are text; a missing one raises a CatalogError."""
    items = items.copy()
    for column in REQUIRED:
        advice = f"Fill in '{column}' or drop the rows."
        refuse(items, is_blank(items[column]), source, f"have no {column}", advice)
        items[column] = items[column].astype(str)
    return items


def refuse_repeated_ids(items: pd.DataFrame, source: str) -> None:
    """Raise a CatalogError if items share their id."""
    repeated = items["id"].duplicated(keep=False)
    refuse(items, repeated, source, "share their id", "Give every item an id of its own.")


def refuse(items: pd.DataFrame, bad: pd.Series, source: str, what: str, advice: str) -> None:
    """Raise a CatalogError that shows the first five `bad` rows (a boolean per item), if any."""
    if not bad.any():
        return
    lines = [f"{source}: {bad.sum()} of {len(items)} items {what}:"]
    for row, id, path, label in items.loc[bad, list(REQUIRED)].head(5).itertuples():
        lines.append(f"{_place(items, row)}id={id!r} path={path!r} label={label!r}")
    if bad.sum() > 5:
        lines.append(f"and {bad.sum() - 5} more")
    raise CatalogError("\n  ".join(lines) + f"\n{advice}")


def _place(items: pd.DataFrame, row: object) -> str:
    """Return `line 7: ` if the index says where the item stands, or nothing."""
    return f"{items.index.name} {row}: " if items.index.name else ""


def is_blank(column: pd.Series) -> pd.Series:
    """Tell for each value whether it is missing or only white space."""
    return column.isna() | (column.astype(str).str.strip() == "")


def are_files(paths: pd.Series) -> pd.Series:
    """Tell for each path whether it is a file; each folder is listed once.

    URLs are taken to be there: to ask an object store for each would take hours.
    """
    folders: dict[str, set[str]] = {}

    def found(path: str) -> bool:
        if is_url(path):
            return True
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = _files(folder)
        return name in folders[folder]

    return pd.Series([found(path) for path in paths], index=paths.index, dtype=bool)


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def drop_small_labels(items: pd.DataFrame, min_images_per_label: int) -> pd.DataFrame:
    """Return the items whose label has enough of them, or is blank; a warning names the others."""
    sizes = items.groupby("label")["label"].transform("size")
    small = (sizes < min_images_per_label) & ~is_blank(items["label"])
    if small.any():
        first = items.loc[small, ["label", "id"]].drop_duplicates("label")
        counts = items["label"].value_counts()
        named = [
            f"{label!r} has {counts.loc[label]} ({_place(items, row)}id={id!r})"
            for row, label, id in first.head(5).itertuples()
        ]
        more = [f"and {len(first) - len(named)} more"] if len(first) > len(named) else []
        message = (
            "Dropped %d items of %d labels with fewer than %d photos. The labels, each with its "
            "first item: %s."
        )
        logger.warning(
            message, small.sum(), len(first), min_images_per_label, "; ".join([*named, *more])
        )
    return items[~small]
