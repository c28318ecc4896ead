import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vsearch.bundle.generations.checked_files import measured
from vsearch.bundle.generations.layout import CURRENT, ITEMS, MANIFEST, VECTORS
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import explained
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.bundle.generations.swap_trial import Queries, Shadow, shadow
from vsearch.class_paths import class_path
from vsearch.data.io.atomic import MAKING, make_folder, replace_file, sha256
from vsearch.data.items import table_bytes
from vsearch.errors import BundleError
from vsearch.indexes.base import Index
from vsearch.indexes.stores.serials import first_serial
from vsearch.indexes.vector_store import Filling, VectorStoreIndex

FILE, FETCHED = "copying.json", "vectors.f32"
MADE = ("kind", "construction")  # settings that a collection is made with
BLOCK = 4096  # vectors fetched at once

Done = Callable[[int], object]  # told how many vectors have come so far


def fill(live: Live, index: VectorStoreIndex, done: Done) -> None:
    """Write the live items' vectors into an index's vector store; go on where an earlier call for the
    same was cut off.

    Raises:
        BundleError: the collection is another's, or the vectors can't be read.
        OSError: the vector store can't be asked, or the bundle's folder not be written; a later call goes
            on.
    """
    path, of, so_far = live.bundle / FILE, _what(live), None
    known = json.loads(path.read_text()) if path.is_file() else {}
    made = {name: index.settings()[name] for name in MADE}
    if known.get("to") == index.url:
        if known["made"] != made:
            raise BundleError(
                f"{index.url} was begun with {known['made']}, not {made}. Give these again, name "
                "another collection, or delete that one there."
            )
        so_far = Filling(**known["filling"])
        if (
            known["of"] != of
        ):  # the bundle has changed since: the collection is its own, but what is there is no use
            so_far = Filling(so_far.owner, first_serial(so_far.first + so_far.done))

    def note(filling: Filling) -> None:
        replace_file(
            path,
            json.dumps(
                {"to": index.url, "made": made, "of": of, "filling": asdict(filling)}
            ).encode(),
        )
        done(filling.done)

    with explained(live.bundle, "copying the vectors"):
        index.bind(live.fitted["fingerprint"])
        index.fill(live.vectors, len(live.items), live.fitted["dim"], so_far, note)


def fetch(live: Live, folder: Path, done: Done) -> np.ndarray:
    """Return the live items' vectors, float32 (n, dim), from a file in a folder that an earlier
    call may have begun.

    Raises:
        BundleError: the vectors can't be read.
        OSError: the file can't be written; a later call goes on.
    """
    n, dim = len(live.items), live.fitted["dim"]
    folder.mkdir(parents=True, exist_ok=True)
    of = json.dumps(_what(live))
    file, mark = folder / FETCHED, folder / FILE
    if not mark.is_file() or mark.read_text() != of:
        file.unlink(missing_ok=True)
        mark.write_text(of)
    with file.open("ab") as vectors:
        begun = vectors.tell() // (4 * dim)
        vectors.truncate(4 * dim * begun)
        for start in range(begun, n, BLOCK):
            done(start)
            with explained(live.bundle, "reading the vectors"):
                vectors.write(live.vectors(np.arange(start, min(start + BLOCK, n))).tobytes())
    done(n)
    return np.memmap(file, np.float32, "r", shape=(n, dim))


def compare(live: Live, index: Index, queries: int) -> Shadow:
    """Ask the index in force and a copy of it for a sample of the items.

    Raises:
        BundleError: the copy holds another number of vectors.
    """
    if len(index) != len(live.items):
        raise BundleError(f"the copy holds {len(index):,} vectors, not {len(live.items):,}.")
    rows = np.sort(np.random.default_rng(0).permutation(len(live.items))[:queries])
    labels = live.items["label"].to_numpy()
    return shadow(live.index, index, Queries(live.vectors(rows), labels[rows], rows), labels)


def write_copy(live: Live, folder: Path, index: Index) -> None:
    """Write a new bundle of the same network with an index of the live items, as its generation 0.

    Raises:
        OSError: it could not be written; nothing is left.
    """
    old = {ITEMS, VECTORS, *live.fitted["index"]["files"]}
    kept = [name for name in live.fitted["sha256"] if name not in old]

    def make(made: Path) -> None:
        for name in kept:
            shutil.copyfile(live.bundle / name, made / name)
        files = index.save(made)
        (made / ITEMS).write_bytes(table_bytes(live.items))
        described: dict[str, Any] = {
            "class_path": class_path(type(index)),
            "spec": index.spec,
            "files": files,
        }
        (made / MANIFEST).write_text(
            json.dumps({**live.fitted, "index": described, **measured(made)}, indent=2)
        )
        (made / CURRENT).write_bytes(state_bytes(State(0, sha256(made / MANIFEST)), []))

    shutil.rmtree(
        folder.with_name(MAKING + folder.name), ignore_errors=True
    )  # of a call that was killed
    make_folder(folder, make)


def _what(live: Live) -> list[Any]:
    """Return what tells one state of a bundle from others, as plain JSON values."""
    return [
        live.fitted["fingerprint"],
        live.state.generation,
        [change.name for change in live.state.changes],
    ]
