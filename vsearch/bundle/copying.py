import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from vsearch.bundle.generations.files import CURRENT, ITEMS, MANIFEST, VECTORS, measured
from vsearch.bundle.generations.live import Live, vector_shape
from vsearch.bundle.generations.manifest import explained, folder_of
from vsearch.bundle.generations.promote import described, promote
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.bundle.generations.swap_trial import Queries, Shadow, shadow
from vsearch.bundle.generations.verify import kept_states
from vsearch.bundle.samples import drawn
from vsearch.class_paths import build
from vsearch.data.io.atomic import make_folder, replace_file, sha256
from vsearch.data.items import table_bytes
from vsearch.errors import BundleError
from vsearch.indexes.base import Index
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.regions import for_shape, without_regions
from vsearch.indexes.stores.serials import first_serial
from vsearch.indexes.vector_store import Filling, VectorStoreIndex

VECTOR_STORES = {
    "milvus": "vsearch.indexes.milvus.MilvusIndex",
    "postgresql": "vsearch.indexes.pgvector.PgvectorIndex",
}
# the progress of a copy; the fetched vectors lie beside it
FILE = "copying.json"
FETCHED = "vectors.f32"
MADE = ("kind", "construction")  # settings that a collection is created with
BLOCK = 4096  # vectors fetched at once

Check = Callable[[Shadow], object]  # refuses a copy whose answers differ too much
Done = Callable[[int], object]  # called with the number of vectors so far


def vector_store_at(url: str, settings: dict[str, Any]) -> VectorStoreIndex | None:
    """Return an unbuilt index in the vector store of a URL; None: it names a folder."""
    scheme, _, place = url.partition(":")
    if scheme in VECTOR_STORES:
        spec = {"class_path": VECTOR_STORES[scheme], "init_args": {"url": url, **settings}}
        with explained("the copy", "making the index"):
            index: VectorStoreIndex = build(spec, VectorStoreIndex)
            return index
    if settings:
        raise BundleError("--init-args are for vector stores: a folder gets exact search.")
    if place.startswith("//"):
        raise BundleError(f"{scheme}:// isn't a vector store; they are {', '.join(VECTOR_STORES)}.")
    return None


def move(live: Live, index: VectorStoreIndex, queries: int, check: Check) -> State:
    """Copy a bundle's vectors to a vector store, and make that the current generation.

    After an interruption, the next call for the same URL continues. Needs `writer_lock.writing`.

    Raises:
        BundleError: the collection belongs to another bundle.
        OSError: the store can't be reached, or a write failed; nothing has changed.
    """
    with _progress(len(live.items), "Writing vectors") as done:
        _fill(live, index, done)
    made = for_shape(index, vector_shape(live.fitted))
    found = _compare(live, made, queries)
    check(found)
    state = promote(live, made, live.all_vectors, "copy", extra={"shadow": asdict(found)})
    (live.bundle / FILE).unlink()
    return state


def copy_to(live: Live, folder: Path, queries: int, check: Check) -> Index:
    """Write a new bundle with exact search in its own files.

    After an interruption, the next call for the same folder continues from `.FOLDER-copying`.
    """
    if folder.exists():
        raise BundleError(
            f"{folder} exists already: a bundle is never overwritten. Move it away first."
        )
    begun = folder.with_name(f".{folder.name}-copying")
    with _progress(len(live.items), "Fetching vectors") as done:
        vectors = _fetch(live, begun, done)
    index = for_shape(ExactIndex(), vectors.shape[1:])
    with explained(folder, "building the index"):
        index.build(vectors)
    check(_compare(live, index, queries))
    _write_copy(live, folder, index)
    shutil.rmtree(begun)
    return index


def vacuum(live: Live) -> int:
    """Delete the vector store's rows that the bundle doesn't need; return how many.

    Needs `writer_lock.writing`.
    """
    index = without_regions(live.index)
    if not isinstance(index, VectorStoreIndex):
        raise BundleError(
            f"{live.bundle}: its index is in the bundle's files: there is nothing to vacuum."
        )
    states = kept_states(live.bundle, live.state)
    folders = [folder_of(live.bundle, state.generation) for state in states]
    with explained(live.bundle, "deleting rows"):
        return index.vacuum(folders)


def _fill(live: Live, index: VectorStoreIndex, done: Done) -> None:
    """Write the live vectors into a vector store, continuing an interrupted call."""
    path = live.bundle / FILE
    known = json.loads(path.read_text()) if path.is_file() else {}
    made = {name: index.settings()[name] for name in MADE}
    so_far = None
    if known.get("to") == index.url:
        if known["made"] != made:
            raise BundleError(
                f"{index.url} was begun with {known['made']}, not {made}. Use the first settings, "
                "name another collection, or delete this one in the store."
            )
        so_far = Filling(**known["filling"])
        if known["of"] != _what(live):
            # the bundle has changed since then: the rows in the collection are useless
            so_far = Filling(so_far.owner, first_serial(so_far.first + so_far.done))

    def note(filling: Filling) -> None:
        entries = {"to": index.url, "made": made, "of": _what(live), "filling": asdict(filling)}
        replace_file(path, json.dumps(entries).encode())
        done(filling.done)

    dim = live.fitted["dim"]
    per_item = math.prod(vector_shape(live.fitted)) // dim

    def vectors(rows: np.ndarray) -> np.ndarray:
        items, own = np.unique(rows // per_item, return_inverse=True)
        return live.all_vectors(items).reshape(len(items), per_item, dim)[own, rows % per_item]

    with explained(live.bundle, "copying the vectors"):
        index.bind(live.fitted["fingerprint"])
        index.fill(vectors, per_item * len(live.items), dim, so_far, note)


def _fetch(live: Live, folder: Path, done: Done) -> np.ndarray:
    """Return `Live.all_vectors` of all items, using a file of an interrupted call."""
    n = len(live.items)
    shape = vector_shape(live.fitted)
    size = 4 * math.prod(shape)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FETCHED
    mark = folder / FILE
    of = json.dumps(_what(live))
    if not mark.is_file() or mark.read_text() != of:
        file.unlink(missing_ok=True)
        mark.write_text(of)
    with file.open("ab") as vectors:
        begun = vectors.tell() // size
        vectors.truncate(size * begun)
        for start in range(begun, n, BLOCK):
            done(start)
            with explained(live.bundle, "reading the vectors"):
                vectors.write(live.all_vectors(np.arange(start, min(start + BLOCK, n))).tobytes())
    done(n)
    return np.memmap(file, np.float32, "r", shape=(n, *shape))


def _compare(live: Live, index: Index, queries: int) -> Shadow:
    """Search the current index and its copy for a sample of the items."""
    if len(index) != len(live.items):
        raise BundleError(f"the copy holds {len(index):,} vectors, not {len(live.items):,}.")
    rows = drawn(len(live.items), queries)
    labels = live.items["label"].to_numpy()
    return shadow(live.index, index, Queries(live.vectors(rows), labels[rows], rows), labels)


def _write_copy(live: Live, folder: Path, index: Index) -> None:
    """Write a new bundle of the same network with an index of the live items."""
    old = {ITEMS, VECTORS, *live.fitted["index"]["files"]}

    def make(made: Path) -> None:
        for name in live.fitted["sha256"]:
            if name not in old:
                shutil.copyfile(live.bundle / name, made / name)
        files = index.save(made)
        (made / ITEMS).write_bytes(table_bytes(live.items, live.photos_root))
        manifest = {**live.fitted, "index": described(index, files), **measured(made)}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=2))
        (made / CURRENT).write_bytes(state_bytes(State(0, sha256(made / MANIFEST)), []))

    make_folder(folder, make)


def _what(live: Live) -> list[Any]:
    """Return what identifies a state of a bundle."""
    changes = [change.name for change in live.state.changes]
    return [live.fitted["fingerprint"], live.state.generation, changes]


@contextmanager
def _progress(n: int, what: str) -> Iterator[Done]:
    with Progress() as progress:
        task = progress.add_task(what, total=n)
        yield lambda done: progress.update(task, completed=done)
