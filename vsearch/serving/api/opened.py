import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from vsearch.bundle.exports.choice import WantedName, WantedPrecision, choose
from vsearch.bundle.opening import check_canaries, open_bundle
from vsearch.data.catalogs.base import boxes
from vsearch.data.photos import Box
from vsearch.evaluation import calibration
from vsearch.evaluation.calibration import Calibration
from vsearch.models.runtimes.base import Engine
from vsearch.search.explain import can_explain
from vsearch.search.searcher import Searcher
from vsearch.serving.api.facets import HIDDEN, facets
from vsearch.serving.api.rows import Rows
from vsearch.serving.messages import Facet

LOOKED_FOR = 20  # photos, at the start


@dataclass(frozen=True)
class Opened:
    """A bundle that has been checked and is served: requests that started with it end with it.

    Attributes:
        folder: where it was read; links resolved.
        bundle: network, index, items.
        engine: embeds what users send.
        precision: of that: `float32`, `bfloat16`, `int8`, and why.
        calibration: what scores are worth; None where nothing was calibrated.
        facets: what filters can ask.
        photos_root: what items' relative paths start from.
        explains: whether scores can be split over positions; found by trying, so not asked at each
            request.
    """

    folder: Path
    bundle: Searcher
    engine: Engine
    precision: str
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

    @cached_property
    def rows(self) -> Rows:
        """The items, as replies hold them."""
        return Rows(self.bundle.items)

    def box(self, position: int) -> Box | None:
        """Return an item's part of its photo; None: all of it."""
        return boxes(self.bundle.items.iloc[[position]])[0]

    def photo(self, position: int) -> Path | None:
        """Return where an item's photo lies; None: it has none."""
        path = str(self.bundle.items["path"].iat[position]) if "path" in self.bundle.items else ""
        return (self.photos_root or Path()) / path if path else None

    def found_photos(self) -> tuple[int, int]:
        """Return how many photos of a few items, spread over all, are there, and how many were
        looked for.
        """
        rows = range(0, len(self.bundle.items), max(1, len(self.bundle.items) // LOOKED_FOR))
        paths = [path for row in rows if (path := self.photo(row)) is not None]
        return sum(path.is_file() for path in paths), len(paths)


def open_checked(
    folder: Path,
    photos_root: Path | None = None,
    precision: WantedPrecision = "float32",
    engine: WantedName = "torch",
) -> tuple[Opened, list[str]]:
    """Open a bundle as it stands and check it: lengths, SHA-256, fingerprint, and that it embeds as
    it did.

    Returns:
        It, and a line for each thing that was checked.

    Raises:
        BundleError: says which part is missing, damaged or foreign, or that the network embeds
            differently now, or can't do it with this engine in this precision.
    """
    start = time.perf_counter()
    folder = folder.resolve()
    secret = tuple(
        name for name in HIDDEN if name != "id"
    )  # paths, which errors of a filter would tell
    bundle = replace(open_bundle(folder), hidden=secret)
    learnt, splits = calibration.read(folder, bundle.manifest), can_explain(bundle.embedder)
    alike = check_canaries(folder, bundle.embedder, bundle.manifest)
    chosen = choose(folder, bundle.embedder, bundle.manifest, engine, precision)
    opened = Opened(
        folder, bundle, chosen.engine, chosen.why, learnt, facets(bundle.items), photos_root, splits
    )
    checked = [
        f"files: lengths and SHA-256; fingerprint: {opened.fingerprint}; generation "
        f"{opened.generation}",
        f"items: {len(bundle.items):,}, ids each once: "
        f"{len(opened.positions) == len(bundle.items)}",
        alike,
        f"engine: {chosen.engine.name}; precision: {chosen.why}",
        f"opened in {time.perf_counter() - start:.1f} s",
    ]
    return opened, checked
