import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from vsearch.data.io.object_stores import is_url
from vsearch.data.items import BOX, RENAMED, REQUIRED, as_table, holds_bytes, plain_ids
from vsearch.errors import VsearchError

RESERVED = ("label_code", "content_hash")  # columns that a fit adds and removes again
EXACT = 2**53  # floats hold every whole number up to here
logger = logging.getLogger(__name__)


class CatalogError(VsearchError):
    """A catalog cannot be used as it is; the message names the row and says what to do."""


class Catalog(ABC):
    """Where items come from: one subclass, one source.

    A subclass implements `read`, and `prepare` when files must be made first (drawn, exported,
    unpacked). All other code calls `items`, which checks what `read` returned.

    Attributes:
        synthetic: true when the photos are drawn, not taken; every report says so.
    """

    synthetic: bool = False

    def prepare(self) -> None:  # noqa: B027 (optional hook)
        """Make the photos if necessary. Safe to call twice; called by one process only."""

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """Return one row per item with the columns `id`, `path` and `label`.

        `path` is relative to the current folder. Optional columns with a meaning: `split`,
        `is_query`, `is_gallery`, `sequence`, and the box `x_1, y_1, x_2, y_2` in pixels. Others are
        metadata; the split's `group` and `data.axes` may name some of them. A named DataFrame index
        (`line`, `row`) gives each item's place in the source, and errors show it.
        """

    def items(self) -> pd.DataFrame:
        """Return the checked items: `id` and `label` are non-empty text, ids are unique.

        Raises:
            CatalogError: a column or value is missing, the table is empty, an id is repeated, a
                label has a single photo, a photo isn't a file, or a box is incomplete or empty.
        """
        return check(self.read(), source=type(self).__name__)


def check(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return `items` with text ids and labels and a new row index; refuse what can't be used."""
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
    warn_of_like_labels(items, source)
    advice = "Correct the path, or drop the rows."
    refuse(items, ~are_files(items["path"]), source, "have no photo file", advice)
    alone = items.groupby("label")["id"].transform("size") == 1
    advice = (
        "A label needs at least 2 photos, one to find the other: add photos, merge labels, or set "
        "min_images_per_label."
    )
    refuse(items, alone, source, "are the only photo of their label", advice)
    return items.reset_index(drop=True)


def _with_boxes(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return items whose boxes are numbers; refuse incomplete and empty ones."""
    columns = [column for column in BOX if column in items]
    if not columns:
        return items
    if len(columns) < len(BOX):
        raise CatalogError(
            f"{source}: a box needs the columns {list(BOX)}; the table has only {columns}."
        )
    box = items[list(BOX)].apply(pd.to_numeric, errors="coerce").astype(float)
    incomplete = box.isna().any(axis=1) & ~items[list(BOX)].apply(is_blank).all(axis=1)
    advice = "Write four numbers, or leave all four empty."
    refuse(items, incomplete, source, "have an incomplete box", advice)
    empty = (box["x_1"] >= box["x_2"]) | (box["y_1"] >= box["y_2"])
    refuse(items, empty, source, "have an empty box", "Write pixels with x_1 < x_2 and y_1 < y_2.")
    return items.assign(**box)


def with_texts(items: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return items whose ids, paths and labels are text, and whose boxes are numbers.

    Raises:
        CatalogError: one is missing, a box is incomplete or empty, or a column can't be kept.
    """
    items = items.copy()
    refuse_columns(list(items.columns), source)
    for column in REQUIRED:
        advice = f"Fill in '{column}' or drop the rows."
        refuse(items, is_blank(items[column]), source, f"have no {column}", advice)
        items[column] = as_text(items[column], source)
    items = _with_boxes(items, source)
    _check_kinds(items, source)
    return items


def as_text(column: pd.Series, source: str) -> pd.Series:
    """Return values as text; missing values stay missing, whole floats lose their `.0`."""
    held = column.dropna()
    may_nest = column.dtype == object or isinstance(column.dtype, pd.ArrowDtype)
    for value in held if may_nest else ():
        if isinstance(value, bytes | Iterable) and not isinstance(value, str):
            raise CatalogError(
                f"{source}: column {column.name!r} must be text or numbers, but holds "
                f"{type(value).__name__}, such as {value!r:.60}."
            )
    if pd.api.types.is_float_dtype(column) and len(held) and (held % 1 == 0).all():
        if (held.abs() >= EXACT).any():
            raise CatalogError(
                f"{source}: column {column.name!r} holds floats of 16 digits or more, which "
                "lose some of their digits. Write it as text or whole numbers."
            )
        logger.warning(
            "%s: column '%s' holds floats that are all whole: %s is read as '%d'.",
            source,
            column.name,
            held.iloc[0],
            held.iloc[0],
        )
        column = column.astype("Int64")
    return column.astype(str).where(column.notna())


def refuse_columns(names: list[str], source: str) -> None:
    """Raise a CatalogError if two columns share a name, or if vsearch needs a name itself."""
    shown = [RENAMED.get(name, name) for name in names]
    if repeated := sorted({name for name in shown if shown.count(name) > 1}):
        raise CatalogError(
            f"{source}: two columns are named, or would be renamed, {repeated[0]!r}; the columns: "
            f"{names}. Rename one of them."
        )
    if reserved := sorted(set(RESERVED) & set(names)):
        raise CatalogError(
            f"{source}: vsearch itself uses the column name {reserved[0]!r}. Rename your column."
        )


def _check_kinds(items: pd.DataFrame, source: str) -> None:
    """Refuse a column that a bundle can't keep, or a service can't show, before any training."""
    for name in items.columns.difference([*REQUIRED], sort=False):
        try:
            column = as_table(items[[name]])[0]
            kind = column.type
            _show(column)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = str(error).splitlines()[0]
            raise CatalogError(
                f"{source}: column {name!r} can't be kept: it mixes types, or has a type that "
                f"Parquet doesn't have ({reason}). Write it as text."
            ) from error
        if holds_bytes(kind):
            raise CatalogError(
                f"{source}: column {name!r} holds bytes ({kind}), which can't be metadata. Leave "
                "it out, or write it as text."
            )


def _show(column: pa.ChunkedArray) -> None:
    """Convert a column to Python values; this fails for some, such as a date in the year 40000."""
    if pa.types.is_nested(column.type) or pa.types.is_duration(column.type):
        column.to_pylist()
    elif pa.types.is_temporal(column.type):
        pc.min_max(column).as_py()


def refuse_repeated_ids(items: pd.DataFrame, source: str) -> None:
    """Raise a CatalogError if items share an id, white space and Unicode's form aside."""
    advice = "Give every item a unique id."
    refuse(items, items["id"].duplicated(keep=False), source, "share an id", advice)
    plain = pd.Series(plain_ids(pa.array(items["id"])).to_pylist(), items.index)
    what = "have ids that differ only in white space around them or in Unicode form"
    refuse(items, plain.duplicated(keep=False), source, what, advice)
    alike = items["id"][plain.str.casefold().duplicated(keep=False)]
    if len(alike):
        message = "%s: %d ids differ from others only in case and stay separate: %s."
        logger.warning(message, source, len(alike), ", ".join(map(repr, alike[:4])))


def warn_of_like_labels(items: pd.DataFrame, source: str) -> None:
    """Warn of labels that differ only in case, white space or Unicode form."""
    labels = pd.Series(items["label"].unique())
    plain = labels.str.normalize("NFKC").str.casefold().str.split().str.join(" ")
    groups = labels[plain.duplicated(keep=False)].groupby(plain, sort=False)
    alike = [" and ".join(map(repr, group)) for _, group in groups]
    if alike:
        more = f"; and {len(alike) - 5} more" if len(alike) > 5 else ""
        message = "%s: labels that differ only in case, white space or form stay separate: %s%s."
        logger.warning(message, source, "; ".join(alike[:5]), more)


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
    """Return `line 7: ` if the index has a name, else nothing."""
    return f"{items.index.name} {row}: " if items.index.name else ""


def is_blank(column: pd.Series) -> pd.Series:
    """Return for each value whether it is missing or only white space."""
    return column.isna() | (column.astype(str).str.strip() == "")


def are_files(paths: pd.Series) -> pd.Series:
    """Return for each path whether it is a file; each folder is listed once.

    URLs count as found: asking an object store about each would take hours.
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
            return {entry.name for entry in entries if _is_file(entry)}
    except (OSError, ValueError):  # missing, not readable, or a NUL in its name
        return set()


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def drop_small_labels(items: pd.DataFrame, min_images_per_label: int) -> pd.DataFrame:
    """Return the items whose label has enough items or is blank; a warning names the others."""
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
            "Dropped %d items of %d labels with fewer than %d photos. Each label with its first "
            "item: %s."
        )
        logger.warning(
            message, small.sum(), len(first), min_images_per_label, "; ".join([*named, *more])
        )
    return items[~small]
