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
    """One acknowledged add or remove: a folder in `changes/`, which never changes.

    Attributes:
        name: name of its folder.
        created: ISO 8601 in UTC.
        added: rows appended.
        removed: rows removed; a replaced item counts in both.
        bytes: length of each file.
        sha256: SHA-256 of each file.
    """

    name: str
    created: str
    added: int
    removed: int
    bytes: dict[str, int]
    sha256: dict[str, str]


@dataclass(frozen=True)
class State:
    """The content of a bundle: a generation, and the changes on top of it, in their order.

    Everything that it names is immutable, so readers keep a consistent snapshot.
    """

    generation: int
    manifest_sha256: str
    changes: tuple[Change, ...] = ()


def read_state(bundle: Path) -> tuple[State, list[dict[str, Any]]]:
    """Return the current state, and the history: `created` and `what`, oldest first.

    Raises:
        BundleError: CURRENT is damaged, or missing although there are generations or changes.
    """
    path = bundle / CURRENT
    if path.is_file():
        with explained(bundle, f"reading {CURRENT}"):
            return _read(path)
    if (bundle / GENERATIONS).exists() or (bundle / CHANGES).exists():
        raise BundleError(f"{bundle}: {CURRENT} is missing, which names the current generation.")
    manifest = bundle / MANIFEST
    return State(0, sha256(manifest) if manifest.is_file() else ""), []


def read_previous(folder: Path) -> State:
    """Return the state before a generation, from its folder."""
    path = folder / PREVIOUS
    if not path.is_file():
        raise BundleError(f"{path} is missing, which names the previous state.")
    return _read(path)[0]


def is_kept(bundle: Path, state: State) -> bool:
    """Return whether the folders that a state names still exist."""
    changes = [bundle / CHANGES / change.name for change in state.changes]
    return all(folder.is_dir() for folder in (folder_of(bundle, state.generation), *changes))


def state_bytes(state: State, history: list[dict[str, Any]]) -> bytes:
    """Return the content of CURRENT or PREVIOUS: a line of JSON, and a line with its SHA-256."""
    text = json.dumps({**asdict(state), "history": history[-REMEMBERED:]}).encode()
    return text + b"\n" + _digest(text)


def write_state(
    bundle: Path, state: State, history: list[dict[str, Any]], what: str
) -> list[dict[str, Any]]:
    """Make a state the current one, atomically; return the history with `what` at its end."""
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
