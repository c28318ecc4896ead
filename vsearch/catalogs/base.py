from abc import ABC, abstractmethod
from pathlib import Path

import pandas as pd

REQUIRED = ("id", "path", "label")
BOX = ("x_1", "y_1", "x_2", "y_2")


class CatalogError(ValueError):
    """A catalog cannot be used as it is; the message names the row and says what to do."""


class Catalog(ABC):
    """Where items come from: one subclass, one source.

    A subclass implements `read`, and `prepare` when files must be made first (drawn, exported, unpacked).
    Everybody else calls `items`, which checks what `read` returned.

    Attributes:
        synthetic: true when the photos are drawn, not taken; every report says so.
    """

    synthetic: bool = False

    def prepare(self) -> None:  # noqa: B027 (optional hook)
        """Make the photos if they have to be made. Safe to call twice; called by one process only."""

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """Return one row per item with the columns `id`, `path` and `label`.

        `path` leads to the photo from the current folder. Optional columns with a meaning: `split`, `group`,
        `is_query`, `is_gallery`, `sequence`, and the box `x_1, y_1, x_2, y_2` in pixels. Others are metadata.
        """

    def items(self) -> pd.DataFrame:
        """Return the checked items: `id` and `label` are non-empty text, ids are unique, every photo is a file.

        Raises:
            CatalogError: a column is missing, the table is empty, an id is missing or repeated, a label is missing,
                a label has a single photo, or a photo file does not exist.
        """
        return check(self.read(), source=type(self).__name__)


def check(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return `items` with text ids and labels and a fresh row index, or raise a CatalogError that names the row."""
    missing = [column for column in REQUIRED if column not in items]
    if missing:
        raise CatalogError(f"{source}: missing column(s) {missing}; the table has {list(items.columns)}.")
    if items.empty:
        raise CatalogError(f"{source}: no items. Check the folder or file, and the filters if there are any.")
    items = items.reset_index(drop=True)
    for column in REQUIRED:
        empty = items[column].isna() | (items[column].astype(str).str.strip() == "")
        _refuse(items, empty, source, f"have no {column}", f"Fill in the column '{column}' or drop the rows.")
        items[column] = items[column].astype(str)
    _refuse(items, items["id"].duplicated(keep=False), source, "share their id", "Give every item an id of its own.")
    gone = ~items["path"].map(lambda path: Path(path).is_file()).astype(bool)
    _refuse(items, gone, source, "have no photo file", "Correct the path (pattern), or drop the rows.")
    alone = items.groupby("label")["id"].transform("size") == 1
    advice = "A label needs 2 photos or more to be found again: add photos, merge labels, or set min_images_per_label."
    _refuse(items, alone, source, "are the only photo of their label", advice)
    return items


def _refuse(items: pd.DataFrame, bad: pd.Series, source: str, what: str, advice: str) -> None:
    if bad.any():
        rows = [
            f"row {row}: id={item['id']!r} path={item['path']!r} label={item['label']!r}"
            for row, item in items[bad].head(5).iterrows()
        ]
        more = "\n  ..." if bad.sum() > len(rows) else ""
        raise CatalogError(f"{source}: {bad.sum()} of {len(items)} items {what}:\n  " + "\n  ".join(rows) + f"{more}\n{advice}")
