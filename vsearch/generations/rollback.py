from dataclasses import replace

from vsearch.generations.base import BundleError
from vsearch.generations.live import Live, open_state
from vsearch.generations.state import State, is_kept, write_state


def rollback(live: Live) -> Live:
    """Undo the last change: an add, a remove, or a new index. Needs `lock.writing`.

    A fold that came by itself changes no item, so the change that it followed is undone with it. Nothing is deleted
    before the next generation is written.

    Returns:
        What is in force now; it has been opened and checked before.

    Raises:
        BundleError: there is nothing before, or it is kept no more.
        OSError: it could not be written; nothing has changed.
    """
    wanted = _before(live)
    if not is_kept(live.bundle, wanted):
        raise BundleError(f"generation {wanted.generation} and what was on top of it are kept no more.")
    before = open_state(live.bundle, wanted, live.history)
    write_state(live.bundle, before.state, live.history, f"rollback: {len(before.items):,} items, {before.index.spec}")
    return before


def _before(live: Live) -> State:
    state = live.state
    if not state.changes:
        if not state.generation:
            raise BundleError(f"{live.bundle} is as it was fitted: there is nothing to roll back.")
        state = State.of(live.manifest["previous"])
        if live.manifest["reason"] != "fold":
            return state
    return replace(state, changes=state.changes[:-1])
