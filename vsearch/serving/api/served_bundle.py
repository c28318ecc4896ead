import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vsearch.bundle import canaries
from vsearch.bundle.exports.choice import WantedName, WantedPrecision
from vsearch.bundle.opening import open_chosen
from vsearch.data.io.files_below import open_below
from vsearch.data.items import boxes
from vsearch.data.photos import Box, PhotoError
from vsearch.evaluation import calibration
from vsearch.evaluation.calibration import Calibration
from vsearch.models.runtimes.base import Runtime
from vsearch.search.searcher import Searcher
from vsearch.serving.api.facets import HIDDEN, facets
from vsearch.serving.messages import Facet

PHOTOS_LOOKED_FOR = 20  # checked at the start


@dataclass(frozen=True)
class ServedBundle:
    """A checked bundle that is served; a request uses the same bundle until it finishes.

    Attributes:
        folder: its folder, links resolved.
        photo_folders: folders of the items' photos; no other files are opened as photos.
        precision: of the runtime, and why: `bfloat16: ...`.
        calibration: what scores mean; None without one.
        facets: columns and values for filters.
    """

    folder: Path
    photo_folders: tuple[Path, ...]
    searcher: Searcher
    precision: str
    calibration: Calibration | None
    facets: list[Facet]

    @property
    def runtime(self) -> Runtime:
        """The runtime that embeds users' photos."""
        return self.searcher.runtime

    @property
    def explains(self) -> bool:
        """Whether scores can be split over positions."""
        return bool(self.searcher.manifest["explains"])

    @cached_property
    def places(self) -> tuple[int, int] | None:
        """Rows and columns of positions for split scores; None: scores can't be split."""
        if not self.explains:
            return None
        size = self.runtime.preprocessing.size
        photos = np.zeros((1, 3, size, size), np.uint8)
        rows, columns = self.runtime.embed_positions(photos).shape[-2:]
        return rows, columns

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return str(self.searcher.manifest["fingerprint"])

    @property
    def generation(self) -> int:
        """Of the index."""
        return int(self.searcher.manifest["generation"])

    @cached_property
    def positions(self) -> dict[str, int]:
        """Each id's row in the items."""
        return {id: row for row, id in enumerate(self.searcher.items["id"].to_pylist())}

    def box(self, position: int) -> Box | None:
        """Return the box of an item in its photo; None: all of it."""
        return boxes(self.searcher.items.slice(position, 1))[0]

    def photo(self, position: int) -> Path | None:
        """Return the path of an item's photo; None: it has none."""
        items = self.searcher.items
        path = items["path"][position].as_py() if "path" in items.column_names else ""
        return Path(path) if path else None

    def open_photo(self, position: int) -> BinaryIO:
        """Open an item's photo: a regular file below `photo_folders`, links resolved.

        Raises:
            PhotoError: it can't be opened.
        """
        path = self.photo(position)
        if path is None:
            raise PhotoError("this item has no photo.")
        try:
            return open_below(self.photo_folders, path)
        except OSError as error:
            raise PhotoError(f"{path}: {error}") from error

    def missing_photos(self) -> str | None:
        """Look for the photos of a sample of items; return what is missing, or None."""
        count = len(self.searcher.items)
        rows = range(0, count, max(1, count // PHOTOS_LOOKED_FOR))
        wanted = [row for row in rows if self.photo(row) is not None]
        missing = [row for row in wanted if not self._has_photo(row)]
        if not missing:
            return None
        return (
            f"only {len(wanted) - len(missing)} of {len(wanted)} items' photos were found; "
            f"{self.photo(missing[0])} is missing: name their present folder, links resolved, with "
            "--photos-root (for items added later, with --photo-folders); the service's user must "
            "be able to enter it"
        )

    def _has_photo(self, position: int) -> bool:
        try:
            self.open_photo(position).close()
        except PhotoError:
            return False
        return True


def open_checked(
    folder: Path,
    photos_root: Path | None = None,
    precision: WantedPrecision = "float32",
    runtime: WantedName = "torch",
    threads: int = 0,
    photo_folders: Sequence[Path] = (),
    one_view: bool = False,
) -> tuple[ServedBundle, list[str]]:
    """Open a bundle and check lengths, SHA-256, fingerprint, and stored photos.

    `photos_root`: the folder that holds the photos now; None: the one at the fit.
    `photo_folders`: others, of items that were added later. `one_view`: embed photos without the
    bundle's views.

    Returns:
        The bundle, and a line for each check.

    Raises:
        BundleError: a file is missing, damaged or foreign, or the network embeds differently now.
    """
    start = time.perf_counter()
    folder = folder.resolve()
    # filters must not reveal the photos' folders
    hidden = tuple(name for name in HIDDEN if name != "id")
    opened, chosen = open_chosen(folder, runtime, precision, threads, photos_root)
    searcher = replace(opened, hidden=hidden)
    alike = canaries.check(folder, chosen.runtime, searcher.manifest)
    calibrated = calibration.read(folder, searcher.manifest)
    if one_view and chosen.runtime.use_one_view():
        calibrated = None
    root = Path(photos_root or searcher.manifest.get("photos_root", ""))
    bundle = ServedBundle(
        folder=folder,
        photo_folders=(root, *photo_folders),
        searcher=searcher,
        precision=chosen.why,
        calibration=calibrated,
        facets=facets(searcher.items),
    )
    _ = bundle.places  # computed now, so that no request waits for it
    if searcher.open_text is not None:
        searcher.embed_text("a")  # opened now, for the same reason
    unique = len(bundle.positions) == len(searcher.items)
    checked = [
        f"files: lengths and SHA-256; fingerprint: {bundle.fingerprint}; generation "
        f"{bundle.generation}",
        f"items: {len(searcher.items):,}, ids each once: {unique}",
        alike,
        f"runtime: {chosen.runtime.name}; precision: {chosen.why}",
        f"opened in {time.perf_counter() - start:.1f} s",
    ]
    return bundle, checked
