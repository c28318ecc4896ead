import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vsearch.data.catalogs.base import Catalog, CatalogError, drop_small_labels

EXTENSIONS = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"]


class FolderCatalog(Catalog):
    """Items from one folder per label: `root/<label>/**/photo.jpg`.

    The id is the path from `root`, with `/` on every system. Hidden files and folders, other
    extensions and photos that lie directly in `root` are ignored, as by torchvision's ImageFolder.

    Args:
        root: the folder that holds the labels' folders. It may be a link itself; links in it
            mustn't lead out of it.
        extensions: which files are photos; default: the usual ones. Upper and lower case are the
            same.
        min_images_per_label: labels with fewer photos are dropped.
    """

    def __init__(
        self, root: str, extensions: list[str] | None = None, min_images_per_label: int = 2
    ) -> None:
        self.root = Path(root)
        self.extensions = tuple(extension.lower() for extension in extensions or EXTENSIONS)
        self.min_images_per_label = min_images_per_label

    def read(self) -> pd.DataFrame:
        """Return the items, sorted by id; refuse a folder without photos in labels' folders."""
        if not self.root.is_dir():
            raise CatalogError(f"FolderCatalog: {self.root} is not a folder.")
        ids = sorted(id for id in self._photos("") if "/" in id)
        if not ids:
            raise CatalogError(
                f"FolderCatalog: no {', '.join(self.extensions)} under {self.root / '<label>'}."
            )
        paths = [str(self.root / id) for id in ids]
        items = pd.DataFrame({"id": ids, "path": paths, "label": [id.split("/")[0] for id in ids]})
        return drop_small_labels(items, self.min_images_per_label)

    def _photos(self, prefix: str) -> Iterator[str]:
        with os.scandir(self.root / prefix) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    self._check_link(entry)
                if entry.is_dir():
                    yield from self._photos(f"{prefix}{entry.name}/")
                elif entry.name.lower().endswith(self.extensions):
                    yield prefix + entry.name

    def _check_link(self, entry: os.DirEntry[str]) -> None:
        target = Path(entry.path).resolve()
        if not target.is_relative_to(self.root.resolve()):
            raise CatalogError(
                f"FolderCatalog: {entry.path} leads out of {self.root}, to {target}. Copy it or "
                "remove it."
            )
        if target.is_dir():
            raise CatalogError(
                f"FolderCatalog: {entry.path} leads to {target}, whose photos are read already. "
                "Remove it."
            )
