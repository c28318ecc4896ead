import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vsearch.bundle import check_canaries, open_bundle
from vsearch.catalogs.base import boxes
from vsearch.images import Box
from vsearch.searching import Bundle
from vsearch.service.facets import facets
from vsearch.service.parts import Calibration, explains, read_calibration
from vsearch.service.schemas import Facet


@dataclass(frozen=True)
class Opened:
    """A bundle that has been checked and is served: requests that started with it end with it.

    Attributes:
        folder: where it was read; links resolved.
        bundle: network, index, items.
        calibration: what scores are worth; None where nothing was calibrated.
        facets: what filters can ask.
        photos_root: what items' relative paths start from.
        explains: whether scores can be split over positions; found by trying, so not asked at each request.
    """

    folder: Path
    bundle: Bundle
    calibration: Calibration | None
    facets: list[Facet]
    photos_root: Path | None
    explains: bool

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return str(self.bundle.manifest["fingerprint"])

    @property
    def generation(self) -> int:
        """Of the index."""
        return int(self.bundle.manifest["generation"])

    @cached_property
    def positions(self) -> dict[str, int]:
        """Each id's row in the items."""
        return {id: row for row, id in enumerate(self.bundle.items["id"])}

    def box(self, position: int) -> Box | None:
        """Return an item's part of its photo; None: all of it."""
        return boxes(self.bundle.items.iloc[[position]])[0]

    def photo(self, position: int) -> Path | None:
        """Return where an item's photo lies; None: it has none."""
        path = str(self.bundle.items["path"].iat[position]) if "path" in self.bundle.items else ""
        return (self.photos_root or Path()) / path if path else None


def open_checked(folder: Path, photos_root: Path | None = None) -> tuple[Opened, list[str]]:
    """Open a bundle as it stands and check it: lengths, SHA-256, fingerprint, and that it embeds as it did.

    Returns:
        It, and a line for each thing that was checked.

    Raises:
        BundleError: says which part is missing, damaged or foreign, or that the network embeds differently now.
    """
    start = time.perf_counter()
    folder = folder.resolve()
    bundle = open_bundle(folder)
    calibration, splits = read_calibration(folder, bundle.manifest), explains(bundle.embedder)
    opened = Opened(folder, bundle, calibration, facets(bundle.items), photos_root, splits)
    checked = [
        f"files: lengths and SHA-256; fingerprint: {opened.fingerprint}; generation {opened.generation}",
        f"items: {len(bundle.items):,}, ids each once: {len(opened.positions) == len(bundle.items)}",
        check_canaries(folder, bundle.embedder, bundle.manifest),
        f"opened in {time.perf_counter() - start:.1f} s",
    ]
    return opened, checked
