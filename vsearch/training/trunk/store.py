import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from vsearch.data.io.atomic import MAKING, forget_unfinished, make_folder

MAPS, KEYS, ROWS = "maps.bin", "keys.npy", "rows.npy"
KEY = np.dtype("S32")  # 16 bytes in hexadecimal


class Shard:
    """Maps, and the keys of each, as a function given to `Store.add` writes them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.keys: list[bytes] = []
        self.rows: list[int] = []

    def name(self, keys: Sequence[bytes], rows: Sequence[int]) -> None:
        """Assign to each key the map in that row of the shard."""
        self.keys += keys
        self.rows += rows

    def write(self, maps: Tensor) -> None:
        """Append maps, float (n, C, h, w) or (n, C), as bfloat16 with the channels last."""
        last = maps.movedim(1, -1).to("cpu", torch.bfloat16).contiguous()
        self._stream.write(last.view(torch.int16).numpy().data)


class Store:
    """Maps of one frozen trunk on disk, each with any number of keys.

    It is a folder of shards. A shard never changes and appears with one rename, so unfinished work
    is never read, and several runs may write at once.

    Args:
        folder: the shards' folder; made with the first shard.
        shape: the shape of a map, (C, h, w) or (C,).
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.folder = folder
        self.shape = shape
        self._last = (*shape[1:], shape[0])
        self._files: list[BinaryIO] = []
        self._read: set[str] = set()
        self._keys = np.empty(0, KEY)
        self._places = np.empty((0, 2), np.int64)
        self.refresh()

    @property
    def map_bytes(self) -> int:
        """Bytes of one map on disk."""
        return 2 * int(np.prod(self.shape))

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Return int (n, 2): shard and row of each key's map, or -1."""
        wanted = np.array(keys, KEY)
        if not len(self._keys):
            return np.full((len(wanted), 2), -1)
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where((self._keys[at] == wanted)[:, None], self._places[at], -1)

    def take(self, places: np.ndarray) -> Tensor:
        """Return maps, bfloat16 (n, C, h, w), channels last, or (n, C), by places, int (n, 2)."""
        found = np.empty((len(places), *self._last), np.int16)
        # Read instead of mapped: mapped files count as memory.
        for one, (shard, row) in zip(found, places.tolist(), strict=True):
            os.preadv(self._files[shard].fileno(), [one.data], row * self.map_bytes)
        return torch.from_numpy(found).view(torch.bfloat16).movedim(-1, 1)

    def add(self, fill: Callable[[Shard], None]) -> None:
        """Add the shard that `fill` writes: all of it, or nothing.

        Raises:
            OSError: the disk is full, or fails.
        """

        def write(folder: Path) -> None:
            with (folder / MAPS).open("wb") as stream:
                shard = Shard(stream)
                fill(shard)
            np.save(folder / KEYS, np.array(shard.keys, KEY))
            np.save(folder / ROWS, np.array(shard.rows, np.int64))

        self.folder.mkdir(parents=True, exist_ok=True)
        forget_unfinished(self.folder)
        make_folder(self.folder / uuid4().hex, write)
        self.refresh()

    def refresh(self) -> None:
        """Add new shards; if two maps have the same key, the first stays."""
        keys = [self._keys]
        places = [self._places]
        for folder in sorted(self.folder.glob("*")):
            if folder.name in self._read or folder.name.startswith(MAKING):
                continue
            self._read.add(folder.name)
            rows = np.load(folder / ROWS)
            n = int(rows.max(initial=-1)) + 1
            # A damaged shard is ignored.
            if n == 0 or (folder / MAPS).stat().st_size != n * self.map_bytes:
                continue
            keys.append(np.load(folder / KEYS))
            places.append(np.stack([np.full(len(rows), len(self._files)), rows], axis=1))
            self._files.append((folder / MAPS).open("rb"))
        self._keys, first = np.unique(np.concatenate(keys), return_index=True)
        self._places = np.concatenate(places)[first]
