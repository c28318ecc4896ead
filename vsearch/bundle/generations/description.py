from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsearch.bundle.generations.files import CHANGES, GENERATIONS
from vsearch.bundle.generations.live import Live
from vsearch.bundle.generations.manifest import WEIGHTS
from vsearch.bundle.generations.rebuild import advice, drift


def report(live: Live) -> dict[str, Any]:
    """Describe a bundle and its content, as plain JSON values; sizes are in bytes."""
    moved = drift(live)
    changes = live.state.changes
    names = [path.name for path in (live.bundle / GENERATIONS).glob("*")]
    later = sorted(int(name) for name in names if name.isdecimal())
    return {
        "model": {
            name: live.fitted[name]
            for name in ("backbone", "head", "preprocessing", "dim", "metric")
        },
        "fingerprint": live.fitted["fingerprint"],
        "index": {"class_path": live.manifest["index"]["class_path"], **live.index.describe()},
        "items": len(live.items),
        "generation": live.state.generation,
        "kept_generations": [0, *later],
        "stored_vectors": live.stored,
        "pending": {
            "changes": len(changes),
            "added": sum(change.added for change in changes),
            "removed": sum(change.removed for change in changes),
        },
        "drift": {"share": moved.share, **asdict(moved)},
        "advice": advice(live),
        "bytes": {
            "weights": (live.bundle / WEIGHTS).stat().st_size,
            "generation": sum(
                _size(live.folder / name) for name in live.manifest["sha256"] if name != WEIGHTS
            ),
            "generations": _size(live.bundle / GENERATIONS),
            "changes": _size(live.bundle / CHANGES),
        },
        "history": live.history,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return a report for people, one line per entry."""
    backbone, index = found["model"]["backbone"], found["index"]
    pending, moved, sizes = found["pending"], found["drift"], found["bytes"]
    return [
        f"model        {backbone['class_path']}, dim {found['model']['dim']}, metric "
        f"{found['model']['metric']}",
        f"fingerprint  {found['fingerprint']}",
        f"index        {index['class_path']}: {index['spec']}",
        f"items        {found['items']:,}"
        + (", vectors stored beside the index" if found["stored_vectors"] else ""),
        f"generation   {found['generation']}; kept: "
        f"{', '.join(map(str, found['kept_generations']))}",
        f"pending      {pending['changes']:,} changes: {pending['added']:,} rows added, "
        f"{pending['removed']:,} removed",
        f"drift        {moved['share']:.1%} of {moved['built']:,}: {moved['added']:,} added, "
        f"{moved['removed']:,} gone",
        "bytes        " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
        *(f"{entry['created']}  {entry['what']}" for entry in found["history"]),
        *([f"Advice: {found['advice']}"] if found["advice"] else []),
    ]


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
