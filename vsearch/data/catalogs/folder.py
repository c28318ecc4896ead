import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vsearch.data.catalogs.base import Catalog, CatalogError, drop_small_labels

EXTENSIONS = [
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo", ".png", ".apng", ".webp", ".gif"),
    *(".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"),
]
# folders of file servers, recycle bins and archives; hidden ones begin with a dot
SERVICE = {
    *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "~snapshot", "#recycle", "#snapshot"),
    *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini"),
}
# names of a split's parts: train, val2017, test_set, fold3
PART = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval|holdout|query|gallery|fold|(un)?labell?ed)"
    r"([ _-]?(set|data|images|photos|split|part))?[ _-]?\d*"
)
logger = logging.getLogger(__name__)


class FolderCatalog(Catalog):
    """Items from one folder per label: `root/<label>/**/photo.jpg`.

    The id is the path from `root`, with `/` on every system. Hidden files and folders, and those of
    file servers and recycle bins, are skipped. A warning counts the other ignored files by kind,
    including photos directly in `root`. Only a file's name is looked at.

    Args:
        root: the folder that holds the labels' folders. It may be a link; links inside it must not
            lead out of it.
        extensions: which files are photos; default: the formats that vsearch reads. Case doesn't
            matter.
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
        ids = []
        not_taken: Counter[str] = Counter()
        for id in self._files(""):
            if not id.lower().endswith(self.extensions):
                not_taken[Path(id).suffix.lower() or "without an extension"] += 1
            elif "/" not in id:
                not_taken[f"directly in {self.root}, without a label"] += 1
            else:
                ids.append(id)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in not_taken.most_common())
        if counts:
            logger.warning("%s: ignored: %s.", self.root, counts)
        if not ids:
            raise CatalogError(
                f"FolderCatalog: no {', '.join(self.extensions)} under {self.root / '<label>'}."
                + (f" Ignored: {counts}." if counts else "")
            )
        ids.sort()
        paths = [str(self.root / id) for id in ids]
        items = pd.DataFrame({"id": ids, "path": paths, "label": [id.split("/")[0] for id in ids]})
        self._refuse_splits(set(items["label"]))
        return drop_small_labels(items, self.min_images_per_label)

    def _refuse_splits(self, labels: set[str]) -> None:
        parts = {label for label in labels if PART.fullmatch(label.strip().lower())}
        has_train = any(label.strip().lower().startswith("train") for label in parts)
        if len(parts) > 1 and (has_train or parts == labels):
            raise CatalogError(
                f"FolderCatalog: the folders in {self.root} are named {', '.join(sorted(parts))}:"
                " parts of a split, not labels. Put the labels' folders of all parts into one "
                "folder; or write a table with the columns path, label and split, and read it with "
                "TableCatalog and ColumnSplit."
            )

    def _files(self, prefix: str) -> Iterator[str]:
        folder = self.root / prefix
        try:
            with os.scandir(folder) as found:
                entries = list(found)
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in SERVICE:
                    continue
                self._check_name(entry)
                if entry.is_symlink():
                    self._check_link(entry)
                if entry.is_dir():
                    yield from self._files(f"{prefix}{entry.name}/")
                elif entry.is_file() or entry.is_symlink():  # a broken link is a missing photo
                    yield prefix + entry.name
                else:
                    logger.warning("%s isn't a regular file: ignored.", entry.path)
        except OSError as error:
            raise CatalogError(
                f"FolderCatalog: {error.filename or folder} can't be read ({error.strerror}). "
                "Correct it, or move it out of the folder."
            ) from error

    def _check_name(self, entry: os.DirEntry[str]) -> None:
        kinds = set(map(unicodedata.category, entry.name))
        if kinds & {"Cc", "Cs", "Zl", "Zp"}:  # control, surrogate, line breaks
            raise CatalogError(
                f"FolderCatalog: the name {entry.path!r} isn't UTF-8, or has characters that can't "
                "be shown, such as a line break. Rename it."
            )

    def _check_link(self, entry: os.DirEntry[str]) -> None:
        try:
            target = Path(os.path.realpath(entry.path, strict=True))
        except FileNotFoundError:
            target = Path(entry.path).resolve()
        if not target.is_relative_to(self.root.resolve()):
            raise CatalogError(
                f"FolderCatalog: {entry.path} leads out of {self.root}, to {target}. Copy it or "
                "remove it."
            )
        if target.is_dir():
            raise CatalogError(
                f"FolderCatalog: {entry.path} leads to {target}, whose photos are already read. "
                "Remove it."
            )
