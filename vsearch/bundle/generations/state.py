import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vsearch.bundle.generations.files import CHANGES, CURRENT, GENERATIONS, MANIFEST, PREVIOUS
from vsearch.bundle.generations.manifest import explained, folder_of
from vsearch.data.io.atomic import replace_file, sha256
from vsearch.errors import BundleError

REMEMBERED = 100  # entries of the history


@dataclass(frozen=True)
class Change:
    """One acknowledged add or remove: a folder in `changes/`, never changed once it is there.

    Attributes:
        name: of its folder.
        created: ISO 8601 in UTC.
        added: rows appended.
        removed: rows taken out; an item that is replaced counts in both.
        bytes: length of each file.
        sha256: of each file.
    """

    name: str
    created: str
    added: int
    removed: int
    bytes: dict[str, int]
    sha256: dict[str, str]


@dataclass(frozen=True)
class State:
    """What a bundle holds: a generation, and the changes on top of it, in their order.

    All that it names is immutable, so a reader keeps a consistent snapshot, whatever is written
    next.
    """

    generation: int
    manifest_sha256: str
    changes: tuple[Change, ...] = ()


def read_state(bundle: Path) -> tuple[State, list[dict[str, Any]]]:
    """Return the state in force, and the history: `created` and `what`, oldest first.

    Raises:
        BundleError: CURRENT is damaged, or missing though there are generations or changes.
    """
    path = bundle / CURRENT
    if path.is_file():
        with explained(bundle, f"reading {CURRENT}"):
            return _read(path)
    if (bundle / GENERATIONS).exists() or (bundle / CHANGES).exists():
        raise BundleError(f"{bundle}: {CURRENT} is missing, which says what is in force.")
    manifest = bundle / MANIFEST
    return State(0, sha256(manifest) if manifest.is_file() else ""), []


def read_previous(folder: Path) -> State:
    """Return what was in force before a generation, from its folder."""
    path = folder / PREVIOUS
    if not path.is_file():
        raise BundleError(f"{path} is missing, which says what was in force before.")
    return _read(path)[0]


def is_kept(bundle: Path, state: State) -> bool:
    """Tell whether the folders that a state names are still there."""
    changes = [bundle / CHANGES / change.name for change in state.changes]
    return all(folder.is_dir() for folder in (folder_of(bundle, state.generation), *changes))


def state_bytes(state: State, history: list[dict[str, Any]]) -> bytes:
    """Return what CURRENT and PREVIOUS hold: a line of JSON, and a line with its SHA-256."""
    text = json.dumps({**asdict(state), "history": history[-REMEMBERED:]}).encode()
    return text + b"\n" + _digest(text)


def write_state(
    bundle: Path, state: State, history: list[dict[str, Any]], what: str
) -> list[dict[str, Any]]:
    """Put a state in force, at once and as a whole; return the history with `what` at its end."""
    entry = {
        "created": now(),
        "what": what,
        "generation": state.generation,
        "changes": len(state.changes),
    }
    replace_file(bundle / CURRENT, state_bytes(state, [*history, entry]))
    return [*history, entry]


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(path: Path) -> tuple[State, list[dict[str, Any]]]:
    text, _, digest = path.read_bytes().partition(b"\n")
    if digest != _digest(text):
        raise BundleError(f"{path} is damaged (its SHA-256 is not that in its second line).")
    values = json.loads(text)
    changes = tuple(Change(**change) for change in values["changes"])
    return State(values["generation"], values["manifest_sha256"], changes), values["history"]


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode() + b"\n"
