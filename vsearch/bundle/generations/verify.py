from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vsearch.bundle.generations.changes import check_change
from vsearch.bundle.generations.files import MANIFEST, check_file
from vsearch.bundle.generations.live import Live, manifests, open_state
from vsearch.bundle.generations.manifest import explained, folder_of
from vsearch.bundle.generations.state import State, is_kept, read_previous, read_state
from vsearch.bundle.samples import evenly
from vsearch.data.items import repeated_ids
from vsearch.errors import BundleError

SAMPLE = 1000  # vectors read back


def verify(bundle: Path) -> Iterator[str]:
    """Check everything in a bundle except the model; yield a line for each check.

    Raises:
        BundleError: something is missing, damaged or foreign.
    """
    state, history = read_state(bundle)
    yield "CURRENT: whole"
    for kept in kept_states(bundle, state):
        yield _check_files(bundle, kept)
    live = open_state(bundle, state, history)
    yield f"fingerprint: {live.fitted['fingerprint']}, the same in generation {state.generation}"
    yield f"items: {len(live.items):,}, as many as vectors in the index"
    if repeated := repeated_ids(live.items):
        raise BundleError(f"{bundle}: id {repeated[0]!r} occurs twice.")
    yield "ids: each once"
    yield _check_vectors(live)


def _check_files(bundle: Path, state: State) -> str:
    with explained(bundle, f"reading {MANIFEST}"):
        _, manifest = manifests(bundle, state)
        folder = folder_of(bundle, state.generation)
        for name in manifest["sha256"]:
            check_file(folder, name, manifest)
        for change in state.changes:
            check_change(bundle, change)
    return (
        f"generation {state.generation}: {MANIFEST} and {len(manifest['sha256'])} files, "
        f"{len(state.changes)} changes: lengths and SHA-256"
    )


def kept_states(bundle: Path, state: State) -> list[State]:
    """Return the states that are kept: the current one, the previous one, and the fitted one."""
    if not state.generation:
        return [state]
    with explained(bundle, f"reading {MANIFEST}"):
        _, manifest = manifests(bundle, state)
    before = read_previous(folder_of(bundle, state.generation))
    fitted = State(0, manifest["fitted_sha256"])
    if not is_kept(bundle, before):  # after a rollback
        return [state, fitted]
    return [state, before, fitted] if before.generation else [state, before]


def _check_vectors(live: Live) -> str:
    positions = evenly(len(live.items), SAMPLE)
    try:
        norms = np.linalg.norm(live.vectors(positions), axis=1)
    except ValueError as error:
        return f"vectors: the index can't give them back ({error})"
    if not np.isfinite(norms).all():
        raise BundleError(f"{live.bundle}: a vector of the index is not finite.")
    return f"vectors: {len(positions):,} read back, all finite"
