import json
import re
from collections.abc import Sequence
from pathlib import Path

from vsearch.data.io.atomic import scratch_folder
from vsearch.evaluation.comparing.comparison import Comparison, ComparisonError
from vsearch.reports.comparison import ComparisonReport
from vsearch.reports.comparison_tables import markdown
from vsearch.reports.pictures import png
from vsearch.reports.won_lost import won_lost

OWN = re.compile(r"comparison(\.md|\.json|-won-lost(-\d+)?\.png)")


def comparison_files(
    report: ComparisonReport, comparisons: Sequence[Comparison]
) -> dict[str, bytes]:
    """Return comparison.json, comparison.md and a picture for each run that changed a query."""
    files = {
        "comparison.json": json.dumps(report.to_json(), indent=2).encode(),
        "comparison.md": markdown(report).encode(),
    }
    for run, comparison in zip(report.runs, comparisons, strict=True):
        picture = won_lost(comparison)
        if picture is not None and run.picture is not None:
            files[run.picture] = png(picture)
    return files


def refuse_foreign(folder: Path) -> None:
    """Raise a ComparisonError if the folder to replace holds anything but a comparison."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if strangers := [name for name in names if not OWN.fullmatch(name)]:
        raise ComparisonError(
            f"{folder} holds other files ({strangers[0]}): name a separate folder with --out."
        )
    if folder.exists() and not folder.is_dir():
        raise ComparisonError(f"{folder} is a file: name a folder with --out.")


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write a comparison's folder in one step, replacing an earlier one."""
    refuse_foreign(folder)
    with scratch_folder(folder) as scratch:
        made = scratch / "new"
        made.mkdir()
        for name, data in files.items():
            (made / name).write_bytes(data)
        if folder.exists():
            folder.rename(scratch / "old")
        made.rename(folder)
