import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vsearch.evaluation.comparing.comparison import Comparison, ComparisonError
from vsearch.evaluation.comparing.gates import Verdict
from vsearch.evaluation.comparing.runs import Run
from vsearch.reports.comparison_tables import markdown
from vsearch.reports.won_lost import won_lost

OWN = re.compile(r"comparison(\.md|\.json|-won-lost(-\d+)?\.png)")


def summary(comparisons: Sequence[Comparison], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Turn comparisons with one base into plain JSON values.

    Returns:
        queries, labels, gallery: how many; base: a run; runs: those compared with it, each with its
        notes, changed settings, metrics, further axes (side by side, no test), labels and queries
        won and lost; gates: the verdicts.
    """
    base = comparisons[0].base
    names = (
        ["-won-lost.png"]
        if len(comparisons) == 1
        else [f"-won-lost-{i + 1}.png" for i in range(len(comparisons))]
    )
    return {
        "queries": len(base.queries),
        "labels": int(base.queries["label"].nunique()),
        "gallery": len(base.items),
        "synthetic": bool(base.manifest.get("protocol", {}).get("synthetic", False)),
        "base": _facts(base),
        "runs": [
            _entry(one, f"comparison{name}") for one, name in zip(comparisons, names, strict=True)
        ],
        "gates": [{**asdict(one), "passed": one.passed, "text": str(one)} for one in verdicts],
    }


def comparison_files(report: dict[str, Any], comparisons: Sequence[Comparison]) -> dict[str, bytes]:
    """Return comparison.json, comparison.md and a picture for each run that changed a query, by
    name.
    """
    files = {
        "comparison.json": json.dumps(report, indent=2).encode(),
        "comparison.md": markdown(report).encode(),
    }
    for entry, comparison in zip(report["runs"], comparisons, strict=True):
        if (picture := won_lost(comparison)) is not None:
            png = BytesIO()
            picture.save(png, "PNG")
            files[entry["picture"]] = png.getvalue()
    return files


def refuse_foreign(folder: Path) -> None:
    """Raise a ComparisonError if a folder to be replaced holds anything but an earlier comparison."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if strangers := [name for name in names if not OWN.fullmatch(name)]:
        raise ComparisonError(
            f"{folder} holds other files ({strangers[0]}): give --out a folder of its own."
        )
    if folder.exists() and not folder.is_dir():
        raise ComparisonError(f"{folder} is a file: give --out a folder.")


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write a comparison's folder whole, in place of an earlier one: a temporary sibling, then a
    rename.

    Raises:
        ComparisonError: the folder holds something else.
    """
    refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        made = Path(temporary) / "new"
        made.mkdir()
        for name, data in files.items():
            (made / name).write_bytes(data)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        made.rename(folder)


def _facts(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "folder": str(run.folder),
        "model": run.manifest.get("model", {}),
        "cost": run.cost,
    }


def _entry(comparison: Comparison, picture: str) -> dict[str, Any]:
    base, run, ranked = comparison.base, comparison.run, comparison.ranked
    won, lost = comparison.won_and_lost()
    keys = {**base.settings, **run.settings} if base.settings and run.settings else {}
    changed = [key for key in keys if base.settings.get(key) != run.settings.get(key)]
    return {
        **_facts(run),
        "notes": comparison.notes,
        "settings": {
            key: {"base": base.settings.get(key), "value": run.settings.get(key)}
            for key in sorted(changed)
        },
        "metrics": {
            name: {k: asdict(one) for k, one in kinds.items()}
            for name, kinds in comparison.metrics.items()
        },
        "axes": _axes(base, run),
        "labels": {name: comparison.labels(name).to_dict("records") for name in ranked},
        "queries": {name: _counts(comparison.changes(name).tolist()) for name in ranked},
        "won": base.queries["id"].iloc[won[:10]].tolist(),
        "lost": base.queries["id"].iloc[lost[:10]].tolist(),
        "picture": picture if len(won) or len(lost) else None,
    }


def _axes(base: Run, run: Run) -> dict[str, Any]:
    """Return {axis: {metric: {base, value}}} of what both measured."""
    return {
        axis: {
            metric: {"base": one, "value": run.axes[axis][metric]}
            for metric, one in found.items()
            if metric in run.axes[axis]
        }
        for axis, found in base.axes.items()
        if axis in run.axes
    }


def _counts(changes: Sequence[float]) -> dict[str, int]:
    won, lost = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    return {"won": won, "lost": lost, "same": len(changes) - won - lost}
