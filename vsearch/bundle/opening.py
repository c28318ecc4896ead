from pathlib import Path

from vsearch.bundle.exports.choice import Choice, WantedName, WantedPrecision, choose
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.network import check_network
from vsearch.search.searcher import Searcher


def open_bundle(folder: Path, runtime: WantedName = "auto") -> Searcher:
    """Open a bundle as it stands: the generation in force, with the changes on top of it made.

    Every file's length and SHA-256 is checked before anything reads it. The searcher keeps what it
    has opened, whatever is written later.

    Raises:
        BundleError: says which file is missing, damaged or foreign.
    """
    return open_chosen(folder, runtime, "float32")[0]


def open_chosen(
    folder: Path, runtime: WantedName, precision: WantedPrecision, threads: int = 0
) -> tuple[Searcher, Choice]:
    """Do what `open_bundle` does, in a precision and with threads as `choose` takes them."""
    live = open_live(folder)
    check_network(folder, live.fitted)
    manifest = {
        **live.fitted,
        "index": live.manifest["index"],
        "generation": live.state.generation,
    }
    choice = choose(folder, live.fitted, runtime, precision, threads)
    return Searcher(choice.runtime, live.index, live.items, manifest), choice
