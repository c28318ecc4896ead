import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.data.io.atomic import replace_file
from vsearch.evaluation.comparing.runs import leaves
from vsearch.evaluation.studies.fit_settings import FREE, LOGGER, MEASURED_ON, changes
from vsearch.evaluation.studies.study import Study, StudyError, folder_name

SHOWN = 5  # changed settings that an error lists


@dataclass(frozen=True)
class Job:
    """One cell of a study with one seed: its fit, and its run so far.

    Attributes:
        folder: holds the runs (version_N), cell.json and log.txt.
        words: the arguments of `python -m vsearch fit`.
        settings: the resulting settings, by dotted key.
    """

    cell: str
    seed: int
    folder: Path
    words: list[str]
    settings: dict[str, Any]

    @property
    def log(self) -> Path:
        """The file of the run's output."""
        return self.folder / "log.txt"

    def finished(self) -> Path | None:
        """Return the newest run with a complete bundle."""
        return _finished(self.folder)

    def checkpoint(self) -> Path | None:
        """Return the newest checkpoint from which an interrupted run can continue."""
        last = (run / "checkpoints" / "last.ckpt" for run in _runs(self.folder))
        return next((path for path in last if path.is_file()), None)

    def check(self) -> None:
        """Raise a StudyError if a run was made or begun with other settings."""
        if not (self.finished() or self.checkpoint()):
            return
        advice = f"Choose another --out, or delete {self.folder}."
        try:
            stored = json.loads((self.folder / "cell.json").read_text())["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f"{self.folder} holds a run, but no cell.json with its settings. {advice}"
            ) from error
        found = list(changes(stored, self.settings, "stored", "asked for now"))
        if found:
            shown = found[:SHOWN]
            if len(found) > SHOWN:
                shown.append(f"and {len(found) - SHOWN} more")
            lines = "\n  ".join(shown)
            raise StudyError(f"{self.folder} holds a run with other settings:\n  {lines}\n{advice}")

    def begin(self) -> None:
        """Write cell.json: the settings of the run that starts here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        cell = {"cell": self.cell, "seed": self.seed, "fit": self.words, "settings": self.settings}
        replace_file(self.folder / "cell.json", json.dumps(cell, indent=2).encode())


def done(study: Study, folder: Path) -> list[tuple[str, int]]:
    """Return the cells and seeds with a complete run in the study's folder."""
    found = []
    for cell in study.cells:
        for place in (folder / folder_name(cell)).glob("seed-*"):
            seed = place.name.removeprefix("seed-")
            if seed.isdigit() and _finished(place):
                found.append((cell, int(seed)))
    return sorted(found)


def plan(
    study: Study,
    pairs: Sequence[tuple[str, int]],
    words: Mapping[str, list[str]],
    settings: Mapping[str, Any],
    folder: Path,
) -> list[Job]:
    """Return a job for each pair of a cell and a seed, in their order.

    A job's seed is that of weights, batches and augmentation. The split has its own seed, so all
    runs have the same queries and can be paired.

    Args:
        study: their study.
        pairs: cells and seeds.
        words: each cell's arguments of `fit`, including the baseline's.
        settings: the resulting settings, nested.
        folder: the folder of the study's results.
    """
    flat = {cell: dict(leaves(own)) for cell, own in settings.items()}
    measured_on = {}
    for cell, own in flat.items():
        measured_on[cell] = {key: own[key] for key in own if key.startswith(MEASURED_ON)}
    for cell, own in measured_on.items():
        for change in changes(measured_on[study.baseline], own, study.baseline, cell):
            raise StudyError(
                "all cells are measured with the same queries, so they need the same catalog and "
                f"split. {change}"
            )
    return [_job(cell, seed, words[cell], flat[cell], folder) for cell, seed in pairs]


def _job(cell: str, seed: int, words: list[str], settings: dict[str, Any], folder: Path) -> Job:
    own = folder / folder_name(cell)
    logger = {"class_path": LOGGER, "init_args": {"save_dir": str(own), "name": f"seed-{seed}"}}
    seeds = ["--seed_everything", str(seed), "--data.seed", str(seed)]
    kept = {key: value for key, value in settings.items() if not key.startswith(FREE)}
    return Job(
        cell=cell,
        seed=seed,
        folder=own / f"seed-{seed}",
        words=[*words, *seeds, "--trainer.logger", json.dumps(logger)],
        settings={**kept, "seed_everything": seed, "data.seed": seed},
    )


def _finished(folder: Path) -> Path | None:
    for run in _runs(folder):
        bundle = run / "bundle"
        if (bundle / "manifest.json").is_file() and (bundle / "queries.parquet").is_file():
            return run
    return None


def _runs(folder: Path) -> list[Path]:
    """Return the runs in a job's folder, the newest first."""
    found = [path for path in folder.glob("version_*") if re.fullmatch(r"version_\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("_")[1]), reverse=True)
