import json
import logging
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from rich.progress import track

from vsearch.data.catalogs.base import (
    Catalog,
    CatalogError,
    as_text,
    drop_small_labels,
    refuse_columns,
)
from vsearch.data.catalogs.photo_files import content_of, extension_of
from vsearch.data.io.atomic import scratch_folder
from vsearch.data.items import as_frame, read_table

logger = logging.getLogger(__name__)


class HuggingFaceCatalog(Catalog):
    """Items from a Hugging Face dataset, whose photos `prepare` writes into `folder`.

    Images are written as they are, even broken ones; a missing image becomes an empty file.
    `data.on_bad_image` says what happens to both. Arrays of whole numbers 0..255, `(H, W)` or `(H,
    W, 1 to 4)`, become PNG. Values of the type ClassLabel become their names. Columns of numbers
    and text are kept as metadata; other columns (more images, lists) are dropped.

    Args:
        dataset: the dataset's name on the Hub, a local .parquet file, or a local folder that
            `datasets` can load.
        image: column of the photos.
        label: column of the labels.
        id: column of the ids; null: the rows' numbers from 0.
        split: which part to use; null: all of them, with their names in the column `split`.
        folder: where the photos go. An export with the same settings is reused, unless its local
            file or folder has changed (in size or time).
        min_images_per_label: labels with fewer photos are dropped.
    """

    def __init__(
        self,
        dataset: str,
        image: str = "image",
        label: str = "label",
        id: str | None = None,
        split: str | None = "train",
        folder: str = "hf_catalog",
        min_images_per_label: int = 2,
    ) -> None:
        self.dataset = dataset
        self.image = image
        self.label = label
        self.id = id
        self.split = split
        named = ("dataset", "image", "label", "id", "split")
        self.settings = {name: getattr(self, name) for name in named}
        self.folder = Path(folder)
        self.min_images_per_label = min_images_per_label

    def prepare(self) -> None:
        """Export the photos and their table, unless `folder` holds them; a failure changes nothing.

        Raises:
            CatalogError: `folder` holds something else, the image column has no images, a column
                is missing, or `datasets` isn't installed.
        """
        found = self._found()
        source = _state(Path(self.dataset))
        if found is not None and source in (None, found.get("source")):
            return
        splits = self._load(_datasets())
        with scratch_folder(self.folder) as scratch:
            export = scratch / "export"
            (export / "photos").mkdir(parents=True)
            self._export(splits, export)
            (export / "settings.json").write_text(
                json.dumps({**self.settings, "source": source}, indent=2)
            )
            if found is not None:
                logger.warning(
                    "%s has changed since it was exported to %s: exporting it again.",
                    self.dataset,
                    self.folder,
                )
                self.folder.rename(scratch / "outdated")
            export.rename(self.folder)

    def read(self) -> pd.DataFrame:
        """Return the exported items; CatalogError when `prepare` hasn't been called."""
        if self._found() is None:
            raise CatalogError(
                f"HuggingFaceCatalog: {self.folder} is not exported yet; call prepare() first."
            )
        items = as_frame(read_table(self.folder / "items.parquet"))
        items["path"] = [str(self.folder / path) for path in items["path"]]
        return drop_small_labels(items, self.min_images_per_label)

    def _found(self) -> dict[str, Any] | None:
        """Return the settings and the source of the export in `folder`, or None."""
        if not self.folder.exists():
            return None
        file = self.folder / "settings.json"
        found = json.loads(file.read_text()) if file.is_file() else {}
        settings = {name: value for name, value in found.items() if name != "source"}
        if settings != self.settings:
            raise CatalogError(
                f"HuggingFaceCatalog: {self.folder} holds {settings or 'something else'}, not "
                f"{self.settings}. Choose another folder, or delete this one."
            )
        return found

    def _load(self, datasets: ModuleType) -> dict[str, Any]:
        """Return the wanted splits by name, their images not decoded."""
        source = {"path": self.dataset}
        if self.dataset.endswith(".parquet"):
            source = {"path": "parquet", "data_files": self.dataset}
        try:
            loaded = datasets.load_dataset(**source, split=self.split)
        except Exception as error:  # datasets, the Hub and Arrow raise many types here
            reason = str(error.__cause__ or error) or type(error).__name__
            raise CatalogError(
                f"HuggingFaceCatalog: {self.dataset}, split {self.split}: can't be loaded: "
                f"{reason.splitlines()[0]} Check the name or file, and the split."
            ) from error
        splits = dict(loaded) if self.split is None else {self.split: loaded}
        for name, rows in splits.items():
            wanted = (self.image, self.label, self.id)
            missing = [column for column in wanted if column not in (None, *rows.column_names)]
            if missing:
                raise CatalogError(
                    f"{self.dataset}, split {name}: no column(s) {missing}; it has "
                    f"{rows.column_names}."
                )
        return {name: self._undecoded(rows, datasets) for name, rows in splits.items()}

    def _undecoded(self, rows: Any, datasets: ModuleType) -> Any:
        """Return the rows with images as `{"bytes", "path"}`; arrays stay arrays."""
        kind = rows.features[self.image]
        if not isinstance(kind, datasets.Image | datasets.Value | dict):
            return rows
        try:
            return rows.cast_column(self.image, datasets.Image(decode=False))
        except Exception as error:  # datasets and Arrow raise many types here
            raise CatalogError(
                f"{self.dataset}: column '{self.image}' must hold images, but holds {kind}."
            ) from error

    def _export(self, splits: dict[str, Any], export: Path) -> None:
        tables = []
        first = 0
        for name, rows in splits.items():
            images = track(rows.select_columns([self.image]), f"Exporting {self.dataset} ({name})")
            paths = self._write_photos((row[self.image] for row in images), export, first)
            tables.append(self._table(name, rows, paths, first))
            first += len(rows)
        pd.concat(tables, ignore_index=True).to_parquet(export / "items.parquet")

    def _write_photos(self, images: Iterable[Any], export: Path, first: int) -> list[str]:
        paths = []
        empty = []
        for number, image in enumerate(images, start=first):
            content = content_of(image)
            if not content:
                empty.append(number)
            paths.append(f"photos/{number}.{extension_of(content)}")
            (export / paths[-1]).write_bytes(content)
        if empty:
            message = (
                "%s: %d of %d rows have no image in '%s', the first is row %d (from 0). They "
                "became empty files."
            )
            counts = (len(empty), len(paths))
            logger.warning(message, self.dataset, *counts, self.image, empty[0] - first)
        return paths

    def _table(self, split: str, rows: Any, paths: list[str], first: int) -> pd.DataFrame:
        table = _scalars(rows)
        numbers = pd.Series(range(first, first + len(rows)))
        ids = as_text(table[self.id] if self.id else numbers, self.dataset)
        labels = as_text(table[self.label], self.dataset)
        items = pd.DataFrame({"id": ids, "path": paths, "label": labels})
        if self.split is None:
            items["split"] = split
        rest = table.drop(columns={self.id, self.label} & set(table))
        rest = rest.rename(columns={name: f"{name}_original" for name in items})
        refuse_columns([*items, *rest], self.dataset)
        return items.join(rest)


def _datasets() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise CatalogError(
            "HuggingFaceCatalog needs the package datasets: uv sync --extra huggingface"
        ) from error
    return datasets


def _scalars(rows: Any) -> pd.DataFrame:
    """Return the columns of numbers and text, class numbers as names."""
    datasets = _datasets()
    kinds = {
        name: kind
        for name, kind in rows.features.items()
        if isinstance(kind, datasets.Value | datasets.ClassLabel) and "binary" not in kind.dtype
    }
    table = as_frame(rows.select_columns(list(kinds)).with_format("arrow")[:])
    for name, kind in kinds.items():
        if isinstance(kind, datasets.ClassLabel):
            # -1, "no label", becomes empty.
            table[name] = table[name].map(dict(enumerate(kind.names)))
    return table


def _state(dataset: Path) -> dict[str, int] | None:
    """Return size and time of a local file or folder, which show changes; None on the Hub."""
    if not dataset.exists():
        return None
    paths = [dataset] if dataset.is_file() else dataset.rglob("*")
    files = [path.stat() for path in paths if path.is_file()]
    newest = max((file.st_mtime_ns for file in files), default=0)
    return {"files": len(files), "bytes": sum(file.st_size for file in files), "mtime_ns": newest}
