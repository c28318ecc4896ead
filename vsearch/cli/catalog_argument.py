from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from vsearch.bundle.new_items import checked
from vsearch.class_paths import add_current_folder
from vsearch.data.catalogs.base import Catalog, CatalogError, warn_of_like_labels
from vsearch.data.catalogs.folder import FolderCatalog
from vsearch.data.catalogs.table import TableCatalog
from vsearch.data.io.object_stores import is_url
from vsearch.errors import ConfigError
from vsearch.evaluation.catalog_check.catalog_items import CatalogItems
from vsearch.training.checks.config_errors import parse_error

KEY = "data.catalog"


def read_source(path: str | Path) -> CatalogItems:
    """Read a catalog: a folder of labels' folders, a table, or the `data.catalog` of a YAML or run.

    A folder or table is read whole. A YAML's catalog is read as in a fit, except that missing
    photos aren't an error.
    """
    catalog = _catalog(path)
    if isinstance(catalog, TableCatalog) and catalog.missing_photos == "error":
        catalog.missing_photos = "keep"
    catalog.prepare()
    items = checked(catalog.read(), str(path))
    warn_of_like_labels(items, str(path))
    if isinstance(catalog, FolderCatalog) and items["label"].nunique() == 1:
        raise CatalogError(
            f"{path}: all photos are in one folder, {items['label'].iloc[0]!r}, but each label "
            "needs its own folder. Name the folder "
            "that holds the labels' folders, a table with labels, or a catalog's YAML."
        )
    counts: dict[str, int] = getattr(catalog, "report", {})
    kept = ("rows", "items", "small_labels")
    left_out = {name: n for name, n in counts.items() if n and name not in kept}
    return CatalogItems(str(path), items, left_out)


def _catalog(path: str | Path) -> Catalog:
    if not is_url(path):
        path = Path(path)
        if (path / "config.yaml").is_file():  # a run's folder
            return _configured(path / "config.yaml")
        if path.is_dir():
            return FolderCatalog(str(path), min_images_per_label=1)
        if path.suffix.lower() in (".yaml", ".yml"):
            return _configured(path)
    return TableCatalog(str(path), min_images_per_label=1)


def _configured(path: Path) -> Catalog:
    add_current_folder()  # a catalog may be the user's own class
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Catalog, KEY, required=True)
    settings = {"data": {"catalog": _entry(path)}}
    try:
        made: Catalog = parser.instantiate(parser.parse_object(settings)).data.catalog
    except ArgumentError as error:
        raise parse_error(str(error), [], []) from error
    except CatalogError:
        raise
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise ConfigError(KEY, str(error)) from error
    return made


def _entry(path: Path) -> Any:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(str(path), f"it isn't readable YAML: {error}") from error
    data = values.get("data") if isinstance(values, dict) else None
    if not isinstance(data, dict) or not data.get("catalog"):
        raise ConfigError(
            KEY,
            f"{path} names no catalog. Use an overlay such as configs/data/folder.yaml, or a run's "
            "config.yaml.",
        )
    return data["catalog"]
