import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress

from vsearch.bundle.generations.copying import FILE, compare, fetch, fill, write_copy
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import explained, folder_of
from vsearch.bundle.generations.promote import promote
from vsearch.bundle.generations.state import State
from vsearch.bundle.generations.swap_trial import Shadow
from vsearch.bundle.generations.verify import kept_states
from vsearch.class_paths import build
from vsearch.errors import BundleError
from vsearch.indexes.base import Index
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.vector_store import VectorStoreIndex

VECTOR_STORES = {
    "milvus": "vsearch.indexes.milvus.MilvusIndex",
    "postgresql": "vsearch.indexes.pgvector.PgvectorIndex",
}
Check = Callable[[Shadow], object]  # refuses a copy that answers too differently


def vector_store_at(url: str, settings: dict[str, Any]) -> VectorStoreIndex | None:
    """Return an index, not built yet, in the vector store that a URL names; None: it is no such URL, but
    a folder.

    Raises:
        BundleError: the URL or the settings can't be used.
    """
    path = VECTOR_STORES.get(url.partition(":")[0])
    if path is None:
        if settings:
            raise BundleError("--init-args are a vector store's: a folder gets exact search.")
        if "://" in url:
            raise BundleError(
                f"{url.partition('://')[0]}:// is no vector store's; there are {', '.join(VECTOR_STORES)}."
            )
        return None
    with explained("the copy", "making the index"):
        index: VectorStoreIndex = build(
            {"class_path": path, "init_args": {"url": url, **settings}}, VectorStoreIndex
        )
        return index


def move(live: Live, index: VectorStoreIndex, queries: int, check: Check) -> State:
    """Copy a bundle's vectors to a vector store, and put that in force as a new generation. Needs
    `lock.writing`.

    A call that was cut off is gone on with by the next one for the same URL.

    Raises:
        BundleError: the store's collection is another's, or `check` refuses the copy.
        OSError: the store can't be asked, or something not be written; what was in force still is.
    """
    with _progress(len(live.items), "Writing vectors") as done:
        fill(live, index, done)
    found = compare(live, index, queries)
    check(found)
    drift = {"built": len(live.items), "added": 0, "removed": 0}
    state = promote(live, index, live.vectors, "copy", drift, {"shadow": asdict(found)})
    (live.bundle / FILE).unlink()
    return state


def copy_to(live: Live, folder: Path, queries: int, check: Check) -> Index:
    """Write a new bundle with exact search in its own files.

    A call that was cut off is gone on with by the next one for the same folder, from
    `.FOLDER-copying` beside it.

    Raises:
        BundleError: the folder exists, or `check` refuses the copy.
        OSError: the store can't be asked, or something not be written.
    """
    if folder.exists():
        raise BundleError(
            f"{folder} exists already: a bundle is never overwritten. Move it away first."
        )
    begun, index = folder.with_name(f".{folder.name}-copying"), ExactIndex()
    with _progress(len(live.items), "Fetching vectors") as done:
        vectors = fetch(live, begun, done)
    with explained(folder, "building the index"):
        index.build(vectors)
    check(compare(live, index, queries))
    write_copy(live, folder, index)
    shutil.rmtree(begun)
    return index


def vacuum(live: Live) -> int:
    """Delete the store's rows that nothing which the bundle keeps needs; return how many. Needs
    `lock.writing`.

    Raises:
        BundleError: the bundle's index is in its own files, or the store's collection is
            another's.
        OSError: the store can't be asked.
    """
    if not isinstance(live.index, VectorStoreIndex):
        raise BundleError(
            f"{live.bundle}: its index is in the bundle's own files: there is nothing to vacuum."
        )
    folders = [
        folder_of(live.bundle, state.generation) for state in kept_states(live.bundle, live.state)
    ]
    with explained(live.bundle, "deleting rows"):
        return live.index.vacuum(folders)


@contextmanager
def _progress(n: int, what: str) -> Iterator[Callable[[int], None]]:
    with Progress() as progress:
        task = progress.add_task(what, total=n)
        yield lambda done: progress.update(task, completed=done)
