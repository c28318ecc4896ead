from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsearch.bundle.generations.live import Live, open_state
from vsearch.bundle.generations.manifest import explained, folder_of, read_generation
from vsearch.bundle.generations.state import State, is_kept, read_previous, read_state, write_state
from vsearch.errors import BundleError

History = list[dict[str, Any]]


def rollback(bundle: Path) -> tuple[State, Live]:
    """Undo the last change: an add, a remove, or a new index. Needs `writer_lock.writing`.

    A fold changes no item, so the change before it is undone with it. If neither the current nor
    the previous state can be opened, the last one that can is used. Nothing is deleted before the
    next generation is written.

    Returns:
        The old state, and the new one, opened and checked.

    Raises:
        BundleError: there is no earlier state, or it is no longer kept, or damaged.
    """
    state, history = read_state(bundle)
    before = _last_whole(bundle, state, history)
    what = f"rollback: {len(before.items):,} items, {before.index.spec}"
    write_state(bundle, before.state, history, what)
    return state, before


def _last_whole(bundle: Path, state: State, history: History) -> Live:
    earlier = _earlier(bundle, state)
    try:
        return _open(bundle, next(earlier), history)
    except BundleError as error:
        first = error
    if _try_open(bundle, state, history) is not None:
        raise first  # an intact current state is rolled back by one step only
    for one in earlier:
        if live := _try_open(bundle, one, history):
            return live
    raise first


def _earlier(bundle: Path, state: State) -> Iterator[State]:
    """Yield earlier states, the latest first."""
    if not (state.generation or state.changes):
        raise BundleError(f"{bundle} is unchanged since its fit: there is nothing to roll back.")
    while state.generation or state.changes:
        if state.changes:
            state = replace(state, changes=state.changes[:-1])
        else:
            folded = _is_fold(bundle, state)
            with explained(bundle, "reading what was before"):
                state = read_previous(folder_of(bundle, state.generation))
            if folded:
                state = replace(state, changes=state.changes[:-1])
        yield state


def _is_fold(bundle: Path, state: State) -> bool:
    try:
        manifest = read_generation(bundle, state.generation, state.manifest_sha256)
    except BundleError:
        return False  # its manifest is damaged: the previous state has lost the least
    return bool(manifest["reason"] == "fold")


def _open(bundle: Path, state: State, history: History) -> Live:
    if not is_kept(bundle, state):
        raise BundleError(
            f"generation {state.generation} and the changes on top of it are no longer kept."
        )
    return open_state(bundle, state, history)


def _try_open(bundle: Path, state: State, history: History) -> Live | None:
    try:
        return _open(bundle, state, history)
    except (BundleError, OSError):
        return None
