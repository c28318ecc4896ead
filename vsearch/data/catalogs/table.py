import logging
import os
import posixpath
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vsearch.data.catalogs.base import (
    Catalog,
    CatalogError,
    are_files,
    as_text,
    drop_small_labels,
    is_blank,
    refuse,
    refuse_columns,
)
from vsearch.data.catalogs.csv_repair import BadRows, read_csv
from vsearch.data.io.object_stores import PlaceError, check_readable, is_url, open_file
from vsearch.data.items import NUMBER, REQUIRED, as_frame

FLAGS = ("is_query", "is_gallery")
FLAG_VALUES = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
logger = logging.getLogger(__name__)


class TableCatalog(Catalog):
    """Items from a CSV (.csv, .tsv, .csv.gz, .zip with one table) or Parquet table.

    CSV values are text and stay as written (007, 1e5, NA); an empty field is missing. Rows are
    dropped in this order: malformed, filtered, without a photo, of a small label. Columns that
    aren't used stay as metadata; an unused column named id, path or label becomes `id_original` and
    so on. open-metric-learning's tables work as they are.

    Args:
        table: the file, or its URL in an object store: `s3://bucket/items.csv` (see
            `vsearch.data.io.object_stores`).
        root: the folder, or URL, that paths are relative to and must stay in (links are followed);
            default: the table's, and photos may also be URLs of an object store.
        id: column of the ids, kept as text. Null, or no column `id` in the table: the rows' numbers
            from 0.
        label: column of the labels, kept as text.
        path: column of the photo paths, from `root` or absolute.
        path_pattern: the photo path made from the row's columns, e.g. `images/{id}.jpg`; replaces
            `path`.
        bad_rows: CSV rows that have more fields than the header: `repair` joins the surplus into
            the last column, `skip` leaves the row out, `error` stops.
        filters: which rows to keep, as `pandas.DataFrame.query` expressions, e.g. `masterCategory
            != 'Free Items'`, applied in order. In a filter, a CSV column counts as numbers if every
            value reads as one (`price < 30`), and as truth values if all are true or false; id,
            label, path and codes such as 007 are text.
        min_images_per_label: labels with fewer photos are dropped.
        missing_photos: rows whose photo file is missing: `drop` leaves them out, `error` stops,
            `keep` keeps them, for code that checks the photos itself, as `data check` does.
        separator: between the fields of a CSV; default: a tab for .tsv, else the one that Excel's
            line `sep=;` gives, or the first of comma, semicolon and tab that the header has.

    Attributes:
        report: filled by `read`: rows (in the file), malformed_rows, filtered, missing_photos,
            small_labels (the number of labels), small_label_items (their rows) and items (the rows
            that remain).
    """

    def __init__(
        self,
        table: str,
        root: str | None = None,
        id: str | None = "id",
        label: str = "label",
        path: str | None = "path",
        path_pattern: str | None = None,
        bad_rows: BadRows = "error",
        filters: list[str] | None = None,
        min_images_per_label: int = 2,
        missing_photos: Literal["error", "drop", "keep"] = "error",
        separator: str | None = None,
    ) -> None:
        self.table: str | Path = table if is_url(table) else Path(table)
        self.is_parquet = PurePosixPath(table).suffix.lower() == ".parquet"
        self.own_root = root is None
        self.root = _place(os.path.dirname(table) if root is None else root)  # noqa: PTH120
        self.id = id
        self.label = label
        self.path = path if path_pattern is None else None
        self.path_pattern = path_pattern or ""
        self.fields = _fields(self.path_pattern)
        if self.path is None and not self.fields:
            raise CatalogError(
                "TableCatalog: give 'path' (a column) or 'path_pattern', e.g. 'images/{id}.jpg'."
            )
        used = (label, self.path, None if id == "id" else id, *self.fields)
        self.needed = {column for column in used if column is not None}
        self.bad_rows = bad_rows
        self.filters = filters or []
        self.missing_photos = missing_photos
        self.min_images_per_label = min_images_per_label
        self.separator = separator or ("\t" if ".tsv" in PurePosixPath(table).suffixes else None)
        self.report: dict[str, int] = {}

    def read(self) -> pd.DataFrame:
        """Return the items, indexed by `line` of the CSV (the header is 1) or `row` of the Parquet.

        `report` then says how many rows each step dropped.

        Raises:
            CatalogError: the table, a row or a setting can't be used.
        """
        table = self._load()
        kept = self._filter(table)
        items = self._items(kept, self._ids(table))
        found = self._with_photos(items)
        large = drop_small_labels(found, self.min_images_per_label)
        self.report |= {
            "filtered": len(table) - len(kept),
            "missing_photos": len(items) - len(found),
            "small_labels": found["label"].nunique() - large["label"].nunique(),
            "small_label_items": len(found) - len(large),
            "items": len(large),
        }
        logger.info("%s: %s", self.table, self.report)
        return large

    def _load(self) -> pd.DataFrame:
        if isinstance(self.table, Path) and not self.table.is_file():
            raise CatalogError(f"{self.table}: no such file.")
        if self.is_parquet:
            table = self._parquet().rename_axis("row")
            self.report = {"rows": len(table), "malformed_rows": 0}
        else:
            table, self.report = read_csv(self.table, self.separator, self.bad_rows)
        if malformed := self.report["malformed_rows"]:
            logger.warning("%s: bad_rows=%s for %d rows.", self.table, self.bad_rows, malformed)
        if missing := sorted(self.needed - set(table.columns)):
            raise CatalogError(
                f"{self.table}: no column(s) {missing}; the table has {list(table.columns)}."
            )
        if self.id == "id" and "id" not in table:
            self._refuse_other_ids(table)
        return table

    def _refuse_other_ids(self, table: pd.DataFrame) -> None:
        """Refuse a column such as `ID`, which would be ignored and the rows numbered instead."""
        meant = [name for name in table.columns if str(name).strip().casefold() == "id"]
        if meant:
            raise CatalogError(
                f"{self.table}: there is no column 'id', only {meant[0]!r}. Rename it, or pass "
                f"`--data.catalog.init_args.id {meant[0]}`; `null` numbers the rows."
            )

    def _parquet(self) -> pd.DataFrame:
        try:
            with open_file(self.table) as file:
                table = pq.read_table(file)
        except PlaceError as error:
            raise CatalogError(f"{self.table}: {error}") from error
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise CatalogError(
                f"{self.table}: cannot be read as a Parquet table: {reason}. Is it complete, and "
                "not a CSV? Write or copy it again."
            ) from error
        rows = [name for name in table.column_names if name.startswith("__index_level_")]
        refuse_columns(table.column_names, str(self.table))
        return as_frame(table.drop_columns(rows))

    def _filter(self, table: pd.DataFrame) -> pd.DataFrame:
        for expression in self.filters:
            try:
                kept: Any = self._comparable(table, expression).eval(expression)
                table = table.loc[kept]
            except Exception as error:  # pandas raises nearly every type here
                reason = f"{error}. The columns: {list(table.columns)}."
                raise CatalogError(f"{self.table}: filter {expression!r}: {reason}") from error
        return table

    def _comparable(self, table: pd.DataFrame, expression: str) -> pd.DataFrame:
        """Return a CSV's table with text turned into numbers where `expression` may compare it."""
        if self.is_parquet:
            return table
        used = self.needed | {self.id}
        named = [name for name in table.columns if name in expression and name not in used]
        return table.assign(**{name: _comparable(table[name]) for name in named})

    def _ids(self, table: pd.DataFrame) -> pd.Series:
        return table[self.id] if self.id in table else pd.Series(range(len(table)), table.index)

    def _items(self, table: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
        source = str(self.table)
        paths = self._written_paths(table)
        items = pd.DataFrame(
            {
                "id": as_text(ids.loc[table.index], source),
                "path": paths,
                "label": as_text(table[self.label], source),
            }
        )
        items["path"] = self._inside_root(items)
        rest = table.drop(columns={self.id, self.path, self.label} & set(table))
        for flag in FLAGS:
            if flag in rest:
                rest[flag] = self._booleans(items, rest[flag])
        return items.join(rest.rename(columns={name: f"{name}_original" for name in REQUIRED}))

    def _written_paths(self, table: pd.DataFrame) -> pd.Series:
        if self.path is not None:
            return as_text(table[self.path], str(self.table)).fillna("")
        rows = zip(*(table[field] for field in self.fields), strict=True)
        paths = [
            self.path_pattern.format(**dict(zip(self.fields, row, strict=True))) for row in rows
        ]
        return pd.Series(paths, index=table.index, dtype=str)

    def _inside_root(self, items: pd.DataFrame) -> list[str]:
        """Return URLs and paths relative to the current folder, ten times as fast as pathlib."""
        normal = os.path.normpath if isinstance(self.root, Path) else _normal
        root = normal(str(self.root.absolute() if isinstance(self.root, Path) else self.root))
        paths = [
            path if is_url(path) else normal(os.path.join(root, path))  # noqa: PTH118
            for path in items["path"]
        ]
        self._check_stores(paths)
        inside = root.rstrip("/") + "/"
        outside = [
            path != root and not path.startswith(inside) and not (self.own_root and is_url(path))
            for path in paths
        ]
        advice = "Correct the paths, or set `root` to a parent folder (`index add --root`)."
        bad = pd.Series(outside, items.index, dtype=bool)
        refuse(items, bad, str(self.table), f"lead out of {self.root}", advice)
        return [
            path if is_url(path) else os.path.join(self.root, path[len(inside) :])  # noqa: PTH118
            for path in paths
        ]

    def _check_stores(self, paths: list[str]) -> None:
        one_of_each = {path.partition("://")[0]: path for path in paths if is_url(path)}
        for scheme, path in one_of_each.items():
            try:
                check_readable(path)
            except PlaceError as error:
                raise CatalogError(
                    f"{self.table}: photos at {scheme}:// can't be read: {error}"
                ) from error

    def _booleans(self, items: pd.DataFrame, column: pd.Series) -> pd.Series:
        flags = column.astype(str).str.strip().str.lower().map(FLAG_VALUES).astype("boolean")
        unknown = flags.isna() & ~is_blank(column)
        advice = "Write True, False, or nothing."
        refuse(items, unknown, str(self.table), f"have an unknown {column.name}", advice)
        return flags

    def _with_photos(self, items: pd.DataFrame) -> pd.DataFrame:
        found = are_files(items["path"])
        if self.missing_photos == "error":
            advice = "Correct the path or path_pattern, or set missing_photos to 'drop'."
            refuse(items, ~found, str(self.table), "have no photo file", advice)
        return items if self.missing_photos == "keep" else items[found]


def _fields(pattern: str) -> list[str]:
    return sorted({name for _, name, _, _ in Formatter().parse(pattern) if name is not None})


def _comparable(column: pd.Series) -> pd.Series:
    """Return text as numbers or truth values if every value reads as one, else unchanged."""
    if not isinstance(column.dtype, pd.StringDtype):
        return column
    texts = column.str.strip().mask(is_blank(column))
    written = texts.dropna()
    if written.str.fullmatch(NUMBER).all():
        return pd.to_numeric(texts)
    truths = texts.str.lower().map({"true": True, "false": False})
    return truths.astype("boolean") if truths.notna().sum() == len(written) else column


def _place(text: str) -> str | Path:
    return text if is_url(text) else Path(text)


def _normal(url: str) -> str:
    """Return a URL with `.` and `..` in its path resolved."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + posixpath.normpath(rest)
