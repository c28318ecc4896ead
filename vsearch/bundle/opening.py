from functools import partial
from pathlib import Path

from vsearch.bundle.exports.choice import (
    Choice,
    WantedName,
    WantedPrecision,
    choose,
    first_to_start,
)
from vsearch.bundle.generations.live import Live, open_live
from vsearch.bundle.network import check_fingerprint, check_network
from vsearch.bundle.text import open_text
from vsearch.data.io.remembered_hashes import sha256_once
from vsearch.models.runtimes.base import Runtime
from vsearch.search.searcher import Searcher


def open_bundle(
    folder: Path, runtime: WantedName = "auto", photos_root: Path | None = None
) -> Searcher:
    """Open the current generation of a bundle, with the changes on top of it, for a few searches.

    It uses the runtime that starts quickest, in float32. Every file's length and SHA-256 is checked
    before it is read; large files are hashed once for each state of them. Later writes don't affect
    the searcher.

    `photos_root`: the folder that holds the photos now; None: the one at the fit.

    Raises:
        BundleError: a file is missing, damaged or foreign; the message names it.
    """
    live = open_live(folder, sha256_once, photos_root=photos_root)
    check_fingerprint(folder, live.fitted)
    return _searcher(live, first_to_start(folder, live.fitted, runtime))


def open_chosen(
    folder: Path,
    runtime: WantedName,
    precision: WantedPrecision,
    threads: int = 0,
    photos_root: Path | None = None,
) -> tuple[Searcher, Choice]:
    """Open a bundle for serving: with the runtime of `choose`, after hashing every file again.

    `photos_root`: the folder that holds the photos now; None: the one at the fit.

    Raises:
        BundleError: a file is missing, damaged or foreign; the message names it.
    """
    live = open_live(folder, photos_root=photos_root)
    check_network(folder, live.fitted)
    choice = choose(folder, live.fitted, runtime, precision, threads)
    return _searcher(live, choice.runtime), choice


def _searcher(live: Live, runtime: Runtime) -> Searcher:
    manifest = {
        **live.fitted,
        "index": live.manifest["index"],
        "generation": live.state.generation,
    }
    words = partial(open_text, live.bundle, live.fitted) if "text" in live.fitted else None
    return Searcher(runtime, live.index, live.items, manifest, open_text=words)
