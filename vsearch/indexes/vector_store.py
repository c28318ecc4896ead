import json
import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from vsearch.data.io.named_hosts import check_stored_url
from vsearch.indexes.base import Index, as_unit_vectors
from vsearch.indexes.exhaustive import Hits, best, search_among
from vsearch.indexes.stores.collection import Collection
from vsearch.indexes.stores.rows import BATCH_ROWS, StoredRows, batch_rows
from vsearch.indexes.stores.serials import Where, first_serial

FILE = "collection.json"
SERIALS = "serials.npy"
FORMAT = 1  # of these files and of a collection's rows

Vectors = Callable[[np.ndarray], np.ndarray]  # int (m,) positions -> float32 (m, dim)


@dataclass(frozen=True)
class Filling:
    """The progress of writing an index's vectors."""

    owner: str
    first: int  # serial of the first row
    done: int = 0  # rows in the vector store


class VectorStoreIndex(Index):
    """An index whose vectors are in a vector store, each in a row with a serial.

    `save` writes the serials of the rows that count. Rows never change and serials are never
    reused, so a saved index stays the same, whatever is written later. `add` and `remove` work in
    memory: only `build` and `save` write to the store, and only `vacuum` deletes there. A
    collection belongs to one bundle and one model; both are checked before it is used.

    Where the store can't answer, IndexUnavailable is raised. A subclass keeps each constructor
    argument as an attribute of the same name.

    Args:
        url: of the collection; its secrets aren't kept.
        kind: one of `kinds`; None: the exact one.
        construction: HNSW's settings for creating it.
        searching: HNSW's settings for searching.
        timeout_s: limit for a call.
    """

    store: ClassVar[str]
    kinds: ClassVar[Mapping[str, int]]  # the exact kind and HNSW, each with its most dimensions
    hnsw: ClassVar[Mapping[str, Mapping[str, int]]]  # defaults of `construction` and `searching`
    _stored: StoredRows
    _added: np.ndarray  # not yet in the store

    def __init__(
        self,
        url: str,
        kind: str | None = None,
        construction: dict[str, int] | None = None,
        searching: dict[str, int] | None = None,
        timeout_s: float = 10,
    ) -> None:
        self.kind = kind or next(iter(self.kinds))
        if self.kind not in self.kinds:
            raise ValueError(f"kind: {kind!r} isn't one of {', '.join(self.kinds)}")
        self.construction = dict(construction or {})
        self.searching = dict(searching or {})
        self.timeout_s = timeout_s
        self.created_with = self._with_defaults("construction", self.construction)
        self.searched_with = self._with_defaults("searching", self.searching)
        settings = {**self.construction, **self.searching}
        told = [f"{name}={value}" for name, value in settings.items()]
        self.spec = ", ".join([f"{self.store} {self.kind}", *told])

        self.collection = self._collection(url)
        self.url = self.collection.url
        self._owner = secrets.token_hex(8)  # of the collection, if this index creates it
        self._fingerprint = ""
        self._keep(np.zeros(0, np.int64), 0)

    def _with_defaults(self, setting: str, given: dict[str, int]) -> dict[str, int]:
        defaults = {} if self.exact else self.hnsw[setting]
        unknown = sorted(given.keys() - defaults.keys())
        if unknown:
            raise ValueError(
                f"{setting}: {self.kind} has no {', '.join(map(repr, unknown))}; it has "
                f"{', '.join(defaults) or 'none'}"
            )
        return {**defaults, **given}

    @abstractmethod
    def _collection(self, url: str) -> Collection:
        """Return the collection at a URL, which need not exist."""

    @property
    def exact(self) -> bool:
        """Whether every vector is compared."""
        return self.kind != "HNSW"

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments, as plain JSON values without secrets."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def bind(self, fingerprint: str) -> None:
        """See `Index`."""
        own = self._fingerprint or fingerprint
        if own != fingerprint:
            raise ValueError(
                f"{self.url} holds vectors of another model: {own}, not {fingerprint}."
            )
        self._fingerprint = fingerprint

    def check(self, n: int, dim: int) -> None:
        """Refuse more dimensions than the store takes, and an existing collection."""
        most = self.kinds[self.kind]
        if dim > most:
            raise ValueError(f"kind: {self.kind} takes at most {most:,} dimensions, not {dim:,}")
        if self.collection.meta() is not None:
            raise ValueError(f"{self.url} exists already. Name another one.")

    def build(self, embeddings: np.ndarray) -> None:
        """Write float32 (n, dim) unit vectors to a new collection, or as new rows to its own.

        Raises:
            ValueError: no model was named, or the collection is another bundle's.
        """
        vectors = as_unit_vectors(embeddings)
        self.fill(vectors.__getitem__, *vectors.shape)

    def fill(
        self,
        vectors: Vectors,
        n: int,
        dim: int,
        so_far: Filling | None = None,
        note: Callable[[Filling], object] = lambda filling: None,
    ) -> None:
        """Do what `build` does with n vectors, (n, dim), and fetch them in batches.

        `so_far` is the progress of an interrupted call. `note` is called with the progress, at
        first and after each batch.
        """
        if not self._fingerprint:
            raise ValueError(f"{self.url}: no model was named: call `bind` with a fingerprint.")
        filling = so_far or Filling(self._owner, self._next_serial())
        self._owner = filling.owner
        exists = self._exists(dim)
        note(filling)  # before the collection is created, so that a later call recognises it

        if not exists:
            self.collection.create(dim, self._meta(dim))
            filling = replace(filling, done=0)
        elif filling.done:
            earlier = Where(((filling.first, filling.first + filling.done - 1),))
            if self.collection.count(earlier) < filling.done:  # somebody has deleted rows
                filling = replace(filling, done=0)
        self._keep(self._write(vectors, n, dim, filling, note), dim)
        self._stored.check()

    def add(self, embeddings: np.ndarray) -> None:
        """Append unit vectors, in memory until `save`."""
        vectors = as_unit_vectors(embeddings)
        dim = vectors.shape[1]
        if dim != self._dim:
            raise ValueError(f"{self.url} holds vectors of {self._dim} dimensions, not of {dim}.")
        self._added = np.concatenate([self._added, vectors])

    def remove(self, positions: np.ndarray) -> None:
        """Remove vectors; the store keeps them for readers that opened the index before."""
        gone = np.unique(positions).astype(np.int64)
        if len(gone) and not 0 <= gone[0] <= gone[-1] < len(self):
            raise ValueError(f"positions {gone[0]} to {gone[-1]} aren't all among {len(self)}")
        stored = len(self._stored)
        serials = np.delete(self._stored.serials, gone[gone < stored])
        self._stored = replace(self._stored, serials=serials)
        self._added = np.delete(self._added, gone[gone >= stored] - stored, axis=0)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Hits:
        """See `Index`, and `StoredRows.search` for the requests to the store."""
        asked = self._checked(queries)
        stored = self._stored
        k = max(0, min(k, len(self) if allowed is None else int(allowed.sum())))
        in_store = stored.search(asked, k, None if allowed is None else allowed[: len(stored)])

        added = self._added
        places = np.arange(len(added))
        if allowed is not None:
            places = np.flatnonzero(allowed[len(stored) :])
            added = added[places]
        in_memory = search_among(added, len(stored) + places, asked, k)
        return best([in_store, in_memory], k)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return vectors as they were given."""
        wanted = np.asarray(positions, dtype=np.int64)
        stored = wanted < len(self._stored)
        result = np.empty((len(wanted), self._dim), np.float32)
        result[stored] = self._stored.vectors(wanted[stored])
        result[~stored] = self._added[wanted[~stored] - len(self._stored)]
        return result

    def save(self, folder: Path) -> list[str]:
        """Write added vectors to the vector store, and two files that say where all are."""
        if len(self._added):
            self._check_exists()
            filling = Filling(self._owner, self._next_serial())
            new = self._write(self._added.__getitem__, len(self._added), self._dim, filling)
            self._keep(np.append(self._stored.serials, new), self._dim)
        entry = {
            "format": FORMAT,
            "owner": self._owner,
            "fingerprint": self._fingerprint,
            "dim": self._dim,
            "settings": self.settings(),
        }
        (folder / FILE).write_text(json.dumps(entry, indent=1))
        with (folder / SERIALS).open("wb") as file:
            np.save(file, self._stored.serials)
        return [FILE, SERIALS]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what `save` wrote.

        Raises:
            ValueError: the files aren't such an index, or the collection is missing, another
                bundle's, or lacks rows.
        """
        try:
            entry = _read(folder)
            check_stored_url(entry["settings"]["url"])
            opened = cls(**entry["settings"])
            opened._owner = entry["owner"]
            opened._fingerprint = entry["fingerprint"]
            opened._keep(np.load(folder / SERIALS), entry["dim"])
        except (json.JSONDecodeError, KeyError, TypeError, FileNotFoundError) as error:
            raise ValueError(f"{FILE} and {SERIALS} aren't such an index: {error}") from error
        opened._check_exists()
        opened._stored.check()
        return opened

    def vacuum(self, folders: Sequence[Path]) -> int:
        """Delete rows that neither this index nor one saved in `folders` needs; return how many."""
        self._check_exists()
        kept = [self._stored.serials]
        for folder in folders:
            if (folder / FILE).is_file() and _read(folder)["owner"] == self._owner:
                kept.append(np.load(folder / SERIALS))
        gone = np.setdiff1d(self.collection.serials(), np.concatenate(kept))
        for start in range(0, len(gone), BATCH_ROWS):
            self.collection.delete(gone[start : start + BATCH_ROWS])
        return len(gone)

    def __len__(self) -> int:
        return len(self._stored) + len(self._added)

    def describe(self) -> dict[str, Any]:
        """See `Index`."""
        return {**super().describe(), **self.settings()}

    def _write(
        self,
        vectors: Vectors,
        n: int,
        dim: int,
        filling: Filling,
        note: Callable[[Filling], object] = lambda filling: None,
    ) -> np.ndarray:
        """Write what isn't done yet; return the serials of all n rows."""
        serials = filling.first + np.arange(n)
        step = batch_rows(dim)
        for start in range(filling.done, n, step):
            rows = np.arange(start, min(start + step, n))
            self.collection.upsert(serials[rows], as_unit_vectors(vectors(rows)))
            note(replace(filling, done=start + len(rows)))
        self.collection.settle(filling.first, filling.first + n - 1)
        return serials

    def _check_exists(self) -> None:
        if not self._exists(self._dim):
            raise ValueError(
                f"{self.url} doesn't exist, or no longer. Are server, database and name right?"
            )

    def _exists(self, dim: int) -> bool:
        """Return whether the collection exists; ValueError if it isn't this index's."""
        meta = self.collection.meta()
        if meta is None:
            return False
        for name, value in self._meta(dim).items():
            if meta.get(name) != value:
                raise ValueError(
                    f"{self.url} is for another bundle, model or version of vsearch: its {name} is "
                    f"{meta.get(name)}, not {value}."
                )
        return True

    def _meta(self, dim: int) -> dict[str, str]:
        return {
            "format": str(FORMAT),
            "fingerprint": self._fingerprint,
            "owner": self._owner,
            "dim": str(dim),
        }

    def _next_serial(self) -> int:
        serials = self._stored.serials
        return first_serial(int(serials[-1]) if len(serials) else 0)

    def _keep(self, serials: np.ndarray, dim: int) -> None:
        self._stored = StoredRows(self.collection, serials, dim)
        self._added = np.zeros((0, dim), np.float32)

    @property
    def _dim(self) -> int:
        return self._stored.dim

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        if len(self) == 0:
            raise ValueError("the index is empty: build it first")
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        if asked.ndim != 2 or asked.shape[1] != self._dim or not np.isfinite(asked).all():
            raise ValueError(
                f"queries must be finite, of {self._dim} dimensions; got {asked.shape}"
            )
        return asked


def _read(folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((folder / FILE).read_text())
    if entry["format"] != FORMAT:
        raise ValueError(f"{FILE}: format {entry['format']}; this vsearch reads format {FORMAT}")
    return entry
