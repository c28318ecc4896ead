import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.battery.ground import Ground, Tried
from tests.adversarial.damage import Cut, Damage, drawn
from vsearch.cli.main import UNUSABLE, main
from vsearch.errors import VsearchError
from vsearch.reports.html.findings import read_findings

REFUSED = "refused"
SAME = "same answer"
SHOWN = {
    "search": "search RUN/bundle PHOTO",
    "compare": "compare OTHER RUN",
    "report": "report RUN",
}


def tries(ground: Ground, rng: np.random.Generator) -> Iterator[Tried]:
    """Damage one file of a bundle; it must be refused, or answered as if it were whole."""
    whole, run = ground.run, ground.copy("damage")
    bundle = run / "bundle"
    files = [path for path in sorted(bundle.rglob("*")) if path.stat().st_size and path.is_file()]
    photos = [str(path) for path in ground.photos[:: len(ground.photos) // 4]]
    out = str(ground.folder / "comparison")
    verbs: dict[str, Callable[[], str]] = {
        "search": lambda: printed("search", str(bundle), *photos, "--json"),
        "compare": lambda: printed("compare", str(whole), str(run), "--json", "--out", out),
        "report": lambda: numbers(bundle),
    }
    right = {name: verb() for name, verb in verbs.items()}
    if REFUSED in right.values():
        raise SystemExit("the bundle is refused as it is")
    for name, verb in cycle(verbs.items()):
        path = files[rng.integers(len(files))]
        data = path.read_bytes()
        damage = Cut() if rng.random() < 0.1 else drawn(len(data), rng)
        path.write_bytes(damage.of(data))
        outcome = tried(verb, right[name])
        path.write_bytes(data)
        fault = None
        if outcome not in (REFUSED, SAME):
            fault = again(path.relative_to(run), damage, name, outcome)
        yield Tried(outcome if fault is None else "fault", fault)


def tried(verb: Callable[[], str], right: str) -> str:
    """Tell what a command does now: what it did, nothing, or something else."""
    try:
        answer = verb()
    except Exception as error:
        return repr(error)
    if answer == REFUSED:
        return REFUSED
    return SAME if answer == right else "another answer"


def printed(*words: str) -> str:
    """Return what a command prints, as vsearch's own process would, or that it refuses."""
    out = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(io.StringIO()):
            main(words)
    except SystemExit as end:
        if end.code == UNUSABLE:
            return REFUSED
        raise RuntimeError(f"exit status {end.code}") from end
    return out.getvalue()


def numbers(bundle: Path) -> str:
    """Return all that `report` would draw, or that it refuses."""
    try:
        found = read_findings(bundle)
    except (VsearchError, OSError):
        return REFUSED
    parts = [json.dumps(found.report.to_json()), repr(found.calibration), str(found.fingerprint)]
    parts += [table.to_json() for table in (found.queries, found.items)]
    return "\n".join([*parts, repr(None if found.vectors is None else found.vectors.tolist())])


def again(file: Path, damage: Damage, verb: str, outcome: str) -> str:
    """Return the line that tells how a fault comes about, RUN and OTHER being two of one fit."""
    python = "from pathlib import Path; from tests.adversarial.damage import Cut, Flip; "
    python += f"p = Path('RUN/{file}'); p.write_bytes({damage!r}.of(p.read_bytes()))"
    return f'{outcome}: python -c "{python}"; python -m vsearch {SHOWN[verb]}'
