import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from vsearch.data.decoding import in_threads
from vsearch.data.io.locks import one_at_a_time
from vsearch.data.photos import Box, Preprocessing, read_square
from vsearch.errors import VsearchError
from vsearch.models.normalising import normalise
from vsearch.training.trunk.store import Shard, Store
from vsearch.training.trunk.views import make_view

# photos to decode before the network runs: decoding at the same time would be slower
CHUNK = 512
# at most so many for one fit, as each is an open file; a stopped run loses the work of one
SHARDS = 64
SAMPLE = 32  # photos from which the size is estimated
BATCH = 64
GIB = 2**30


class NoRoomError(VsearchError):
    """The disk can't hold the maps; the message says how much is needed, where, and what to do."""


@dataclass(frozen=True)
class Source:
    """A photo and its views: `keys[i]` is the key of view `views[i]`."""

    path: str
    box: Box | None
    views: tuple[int, ...]
    keys: tuple[bytes, ...]


@dataclass(frozen=True)
class Maker:
    """Makes maps from photos: from a file to the trunk's output.

    Attributes:
        trunk: turns normalised photos (B, 3, S, S) into maps.
        augment: makes a view from a plain square.
        context: the context for the trunk's precision.
    """

    trunk: nn.Module
    preprocessing: Preprocessing
    augment: nn.Module | None
    context: Callable[[], AbstractContextManager[None]]

    def square(self, source: Source) -> Tensor:
        """Return the photo without augmentation, uint8 (3, S, S)."""
        return torch.from_numpy(read_square(source.path, self.preprocessing, source.box))

    def maps(self, squares: Tensor) -> Tensor:
        """Return float (n, C, h, w) of squares, uint8 (n, 3, S, S)."""
        device = next(self.trunk.parameters()).device
        # a new network is in training mode: BatchNorm would use the batch's statistics
        self.trunk.eval()
        photos = normalise(squares.to(device), self.preprocessing)
        with torch.inference_mode(), self.context():
            return self.trunk(photos.contiguous(memory_format=torch.channels_last))


def fill(store: Store, maker: Maker, sources: Sequence[Source]) -> None:
    """Add the maps of views that the store lacks; identical views share a map.

    Raises:
        NoRoomError: they would not fit on the disk.
        OSError: the disk fails; finished shards are kept.
    """
    # One rank of a fit computes the maps, and the others find them.
    with one_at_a_time(str(store.folder.absolute())):
        store.refresh()
        _fill(store, maker, sources)


def _fill(store: Store, maker: Maker, sources: Sequence[Source]) -> None:
    there = store.find([key for source in sources for key in source.keys])[:, 0] >= 0
    lacking = np.flatnonzero(~there.reshape(len(sources), -1).all(axis=1)).tolist()
    todo = [*{sources[row].keys: sources[row] for row in lacking}.values()]
    if not todo:
        return
    _check_room(store, maker, todo)
    size = max(CHUNK, -(-len(todo) // SHARDS))
    with Progress() as progress:
        bar = progress.add_task("Running photos through the frozen stages", total=len(todo))
        for start in range(0, len(todo), size):
            part = todo[start : start + size]
            store.add(partial(_write, maker, part, lambda done: progress.advance(bar, done)))


def _write(
    maker: Maker, sources: Sequence[Source], report: Callable[[int], None], shard: Shard
) -> None:
    """Write the maps of the sources' views into a shard."""
    rows = 0
    for start in range(0, len(sources), CHUNK):
        part = sources[start : start + CHUNK]
        waiting: list[Tensor] = []
        for source, square in zip(part, [*in_threads(maker.square, part)], strict=True):
            views, which = _distinct(maker, source, square)
            shard.name(source.keys, [rows + len(waiting) + number for number in which])
            waiting += views
        for batch in torch.stack(waiting).split(BATCH):
            shard.write(maker.maps(batch))
        rows += len(waiting)
        report(len(part))


def _distinct(maker: Maker, source: Source, square: Tensor) -> tuple[list[Tensor], list[int]]:
    """Return the distinct views, and for each key the number of its view."""
    places: dict[bytes, int] = {}
    views: list[Tensor] = []
    which = []
    for view, key in zip(source.views, source.keys, strict=True):
        made = make_view(square, view, key, maker.augment)
        pixels = made.numpy().tobytes()
        if pixels not in places:
            places[pixels] = len(views)
            views.append(made)
        which.append(places[pixels])
    return views, which


def _check_room(store: Store, maker: Maker, todo: Sequence[Source]) -> None:
    chosen = [todo[row] for row in np.unique(np.linspace(0, len(todo) - 1, SAMPLE).astype(int))]
    counts = [len(_distinct(maker, source, maker.square(source))[0]) for source in chosen]
    needed = int(np.mean(counts) * len(todo) * store.map_bytes)
    free = shutil.disk_usage(_existing(store.folder)).free
    if needed > 0.95 * free:
        raise NoRoomError(
            f"the output of the frozen stages for {len(todo):,} photos takes about "
            f"{needed / GIB:.1f} GiB, and {free / GIB:.1f} GiB are free at {store.folder}. Set "
            "`data.trunk_cache.folder` to a larger disk, lower `data.trunk_cache.views`, delete "
            "caches that aren't used, or set `data.trunk_cache` to null."
        )


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
