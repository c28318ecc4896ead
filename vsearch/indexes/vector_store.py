import json
import secrets
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from vsearch.indexes.base import Index
from vsearch.indexes.belonging import FORMAT, Belonging, foreign, taken
from vsearch.indexes.collection import Collection
from vsearch.indexes.exhaustive import search_among
from vsearch.indexes.serials import Where, first_serial
from vsearch.indexes.stored import BATCH_ROWS, Hits, Stored, batch, best

FILE, SERIALS = "collection.json", "serials.npy"
ANSWER = 200_000  # hits that one call may ask for, all queries together


@dataclass(frozen=True)
class Filling:
    """How far the vectors of an index have come.

    Attributes:
        owner: of the collection.
        first: serial of the first row.
        done: rows that the engine keeps.
    """

    owner: str
    first: int
    done: int = 0


class RemoteIndex(Index):
    """An index whose vectors are in an engine outside this process; a position's row there has a
    serial number.

    The engine holds rows, this class which of them count, and in which order: `save` writes the map
    from positions to serials. A row is never changed and its serial never used twice, so that a
    saved index stays what it was, whatever is written to the collection later. Vectors that `add`
    brings stay in memory, as does what `remove` takes out; only `build` and `save` write to the
    engine, and only `vacuum` deletes there. One collection belongs to one bundle and to one model;
    both are checked before anything is written or served.

    A subclass has its settings as keyword arguments of the constructor, each kept as an attribute
    of the same name (`url` without its secrets), and makes `self.collection`.
    """

    collection: Collection
    url: str
    _stored: Stored
    _fresh: np.ndarray

    def __init__(self) -> None:
        self._keep(np.zeros(0, np.int64), 0)
        self._owner, self._fingerprint = "", ""
        self._filling: Filling | None = None

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Whether the engine compares every vector."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments, as plain JSON values without secrets."""

    def bind(self, fingerprint: str) -> None:
        """Say whose vectors these are.

        Raises:
            ValueError: the index is of another model.
        """
        if self._fingerprint not in ("", fingerprint):
            raise ValueError(foreign(self.url, self._fingerprint, fingerprint))
        self._fingerprint = fingerprint

    @property
    def secret(self) -> bool:
        """Whether the URL that was given had a user, a password or a token: what is written has
        none.
        """
        return self.collection.secret

    def check(self, n: int, dim: int) -> None:
        """Refuse a collection that is there already, and ask the engine whether it is.

        Raises:
            IndexUnavailable: it can't be asked.
        """
        if self.collection.meta() is not None:
            raise ValueError(taken(self.url))

    def build(self, embeddings: np.ndarray) -> None:
        """Write float32 (n, dim) unit vectors to the engine: to a new collection, or as new rows to
        the index's own.

        Raises:
            ValueError: the vectors are not of unit length, no model was named, or the collection is
                another's.
            IndexUnavailable: the engine can't be asked, or refuses them.
        """
        vectors = self._units(embeddings)
        self.fill(vectors.__getitem__, *vectors.shape)

    def fill(
        self,
        vectors: Callable[[np.ndarray], np.ndarray],
        n: int,
        dim: int,
        so_far: Filling | None = None,
        note: Callable[[Filling], object] = lambda filling: None,
    ) -> None:
        """Do what `build` does, in batches: int (m,) positions -> float32 (m, dim).

        Args:
            vectors: called for one batch after the other.
            n: how many there are.
            dim: of them.
            so_far: what an earlier call was cut off at.
            note: told after each batch; with its last word, a later call goes on from there.
        """
        if not self._fingerprint:
            raise ValueError(
                f"{self.url}: no model was named whose vectors these are: call `bind` with a "
                "fingerprint."
            )
        filling = so_far or Filling(self._owner or secrets.token_hex(8), first_serial(self._last()))
        self._owner, meta = filling.owner, self.collection.meta()
        if meta is not None:
            self._belonging(dim).check(meta, self.url)
        note(filling)  # before the collection is made, so that a later call knows it for its own
        if meta is None:
            self.collection.create(dim, self._belonging(dim).meta())
            filling = replace(filling, done=0)
        elif (done := filling.done) and self.collection.count(
            Where(((filling.first, filling.first + done - 1),))
        ) < done:
            filling = replace(filling, done=0)  # somebody has deleted rows of the earlier call
        self._write(vectors, n, dim, filling, note)
        self._keep(filling.first + np.arange(n), dim)
        self._check_rows()

    def add(self, embeddings: np.ndarray) -> None:
        """Append float32 (m, dim) unit vectors, in memory until `save`."""
        vectors = self._units(embeddings)
        if vectors.shape[1] != self._dim:
            raise ValueError(
                f"{self.url} holds vectors of {self._dim} dimensions, not of {vectors.shape[1]}"
            )
        self._fresh = np.concatenate([self._fresh, vectors])

    def remove(self, positions: np.ndarray) -> None:
        """Take out the vectors at int (m,) positions; the engine keeps them for those who opened
        the index before.
        """
        gone, stored = np.unique(positions).astype(np.int64), len(self._stored)
        if len(gone) and not 0 <= gone[0] <= gone[-1] < len(self):
            raise ValueError(
                f"positions {gone[0]} to {gone[-1]} can't be removed: the index has {len(self)}"
            )
        self._stored = self._stored.without(gone[gone < stored])
        self._fresh = np.delete(self._fresh, gone[gone >= stored] - stored, axis=0)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """Return scores (cosines, best first) and positions, each (q, k).

        See `Stored.search` for what the engine is asked; what is in memory is compared here.

        Raises:
            ValueError: queries are not finite, or of another dim.
            IndexUnavailable: the engine can't be asked.
        """
        asked, stored, fresh = self._queries(queries), self._stored, self._fresh
        k = max(0, min(k, len(self) if allowed is None else int(allowed.sum())))
        told = None if allowed is None else allowed[: len(stored)]
        step = max(1, ANSWER // max(1, k))
        parts = [
            stored.search(asked[i : i + step], k, told) for i in range(0, max(1, len(asked)), step)
        ]
        places = (
            np.arange(len(fresh)) if allowed is None else np.flatnonzero(allowed[len(stored) :])
        )
        here = search_among(
            fresh if allowed is None else fresh[places], len(stored) + places, asked, k
        )
        return best(
            [
                (
                    np.concatenate([one[0] for one in parts]),
                    np.concatenate([one[1] for one in parts]),
                ),
                here,
            ],
            k,
        )

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at int (m,) positions, as they were given."""
        wanted, stored = np.asarray(positions, dtype=np.int64), len(self._stored)
        result = np.empty((len(wanted), self._dim), np.float32)
        result[wanted < stored] = self._stored.vectors(wanted[wanted < stored])
        result[wanted >= stored] = self._fresh[wanted[wanted >= stored] - stored]
        return result

    def save(self, folder: Path) -> list[str]:
        """Write what was added to the engine, and where to find it all into two files."""
        if len(self._fresh):
            self._check(self.collection.meta())
            filling = self._filling or Filling(
                self._owner, first_serial(self._last())
            )  # after a failure: the same
            self._filling = filling
            self._write(self._fresh.__getitem__, len(self._fresh), self._dim, filling)
            self._keep(
                np.append(self._stored.serials, filling.first + np.arange(len(self._fresh))),
                self._dim,
            )
            self._filling = None
        entry = {
            "format": FORMAT,
            "owner": self._owner,
            "fingerprint": self._fingerprint,
            "dim": self._dim,
        }
        (folder / FILE).write_text(
            json.dumps({**entry, "vectors": len(self), "settings": self.settings()}, indent=1)
        )
        with (folder / SERIALS).open("wb") as file:
            np.save(file, self._stored.serials)
        return [FILE, SERIALS]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote: ask the engine for the collection, check whose it is, and that
        every row is there.

        Raises:
            ValueError: the files are no such index, or the collection is missing, another's, or
                lacks rows.
            IndexUnavailable: the engine can't be asked.
        """
        try:
            entry = _read(folder)
            opened = cls(**entry["settings"])
            opened._owner, opened._fingerprint, dim = (
                entry["owner"],
                entry["fingerprint"],
                entry["dim"],
            )
            opened._keep(np.load(folder / SERIALS), dim)
        except (json.JSONDecodeError, KeyError, TypeError, FileNotFoundError) as error:
            raise ValueError(f"{FILE} and {SERIALS} are no index in an engine: {error}") from error
        opened._check(opened.collection.meta())
        opened._check_rows()
        return opened

    def vacuum(self, folders: Sequence[Path]) -> int:
        """Delete rows that neither this index nor one saved in a folder needs; return how many.

        Raises:
            ValueError: the collection is another's, or a folder's files are damaged.
            IndexUnavailable: the engine can't be asked.
        """
        self._check(self.collection.meta())
        own = [
            one for one in folders if (one / FILE).is_file() and _read(one)["owner"] == self._owner
        ]
        kept = np.concatenate(
            [self._stored.serials, *(np.load(folder / SERIALS) for folder in own)]
        )
        gone = np.setdiff1d(self.collection.serials(), kept)
        for start in range(0, len(gone), BATCH_ROWS):
            self.collection.delete(gone[start : start + BATCH_ROWS])
        return len(gone)

    def __len__(self) -> int:
        return len(self._stored) + len(self._fresh)

    def describe(self) -> dict[str, Any]:
        """Return what it is, where, and how many vectors are in memory until the next `save`."""
        return {
            **super().describe(),
            **self.settings(),
            "dim": self._dim,
            "in_memory": len(self._fresh),
        }

    def _write(
        self,
        vectors: Callable[[np.ndarray], np.ndarray],
        n: int,
        dim: int,
        filling: Filling,
        note: Callable[[Filling], object] = lambda filling: None,
    ) -> None:
        step = batch(dim)
        for start in range(filling.done, n, step):
            rows = np.arange(start, min(start + step, n))
            self.collection.upsert(filling.first + rows, self._units(vectors(rows)))
            filling = replace(filling, done=int(rows[-1]) + 1)
            note(filling)
        self.collection.settle(filling.first, filling.first + n - 1)

    def _check_rows(self) -> None:
        """Refuse a collection that lacks rows of this index."""
        if missing := self._stored.missing():
            raise ValueError(
                f"{self.url} lacks {missing:,} of this index's {len(self._stored):,} rows. Were "
                "they deleted, or is it an older backup? `index rollback` takes what was before; "
                "else the engine's own backup has them."
            )

    def _check(self, meta: dict[str, str] | None) -> None:
        self._belonging(self._dim).check(meta, self.url)

    def _belonging(self, dim: int) -> Belonging:
        return Belonging(self._fingerprint, self._owner, dim)

    def _last(self) -> int:
        return int(self._stored.serials[-1]) if len(self._stored) else 0

    def _keep(self, serials: np.ndarray, dim: int) -> None:
        self._stored, self._fresh = (
            Stored(self.collection, serials, dim),
            np.zeros((0, dim), np.float32),
        )

    @property
    def _dim(self) -> int:
        return self._stored.dim

    def _queries(self, queries: np.ndarray) -> np.ndarray:
        if len(self) == 0:
            raise ValueError("the index is empty: build it first")
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        if asked.ndim != 2 or asked.shape[1] != self._dim or not np.isfinite(asked).all():
            raise ValueError(
                f"queries must be finite, of {self._dim} dimensions; got {asked.shape}"
            )
        return asked

    def _units(self, embeddings: np.ndarray) -> np.ndarray:
        vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=-1)
        if vectors.ndim != 2 or len(vectors) == 0 or not np.allclose(norms, 1, atol=1e-3):
            raise ValueError(
                f"an index needs unit vectors; got {vectors.shape} with norms {norms.ravel()[:3]} "
                "..."
            )
        return vectors


def _read(folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((folder / FILE).read_text())
    if entry["format"] != FORMAT:
        raise ValueError(f"{FILE}: format {entry['format']}; this vsearch reads format {FORMAT}")
    return entry
