import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch.evaluation.comparing.runs import leaves
from vsearch.evaluation.studies.study import Study, StudyError, folder_name

# Settings that don't change what is learned.
FREE = ("trainer.logger", "ckpt_path", "trainer.enable_progress_bar", "data.num_workers")
MEASURED_ON = ("data.catalog", "data.split")  # settings that decide what the queries are
LOGGER = "lightning.pytorch.loggers.TensorBoardLogger"


@dataclass(frozen=True)
class Job:
    """One cell of a study with one seed: what makes it a normal run, and what there is of that run
    already.

    Attributes:
        folder: holds the runs (version_N), cell.json and log.txt.
        words: the arguments of `python -m vsearch fit`.
        settings: all that the words come to, flat: dotted key to value.
    """

    cell: str
    seed: int
    folder: Path
    words: list[str]
    settings: dict[str, Any]

    @property
    def log(self) -> Path:
        """Where the run's output goes."""
        return self.folder / "log.txt"

    def finished(self) -> Path | None:
        """Return the newest run with a whole bundle."""
        return _finished(self.folder)

    def checkpoint(self) -> Path | None:
        """Return the newest checkpoint that an interrupted run can go on from."""
        last = (run / "checkpoints" / "last.ckpt" for run in _runs(self.folder))
        return next((path for path in last if path.is_file()), None)

    def check(self) -> None:
        """Refuse a run that was made, or begun, with other settings.

        Raises:
            StudyError: says which settings changed.
        """
        if not (self.finished() or self.checkpoint()):
            return
        advice = f"Choose another --out, or delete {self.folder}."
        try:
            stored = json.loads((self.folder / "cell.json").read_text())["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f"{self.folder} holds a run, but no cell.json that says of what. {advice}"
            ) from error
        if changes := list(_changes(stored, self.settings)):
            lines = "\n  ".join(
                [*changes[:5], *([f"and {len(changes) - 5} more"] if len(changes) > 5 else [])]
            )
            raise StudyError(f"{self.folder} holds a run with other settings:\n  {lines}\n{advice}")

    def begin(self) -> None:
        """Write cell.json: what is about to be run here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        cell = {"cell": self.cell, "seed": self.seed, "fit": self.words, "settings": self.settings}
        write_file(self.folder / "cell.json", json.dumps(cell, indent=2).encode())


def done(study: Study, folder: Path) -> list[tuple[str, int]]:
    """Return the study's cells and their seeds of which a whole run lies in its folder, whoever
    asked for it.
    """
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

    A job's seed is that of the weights, the batches and the augmentation. The split keeps its own:
    all runs answer the same queries, and can be paired.

    Args:
        study: what they are cells of.
        pairs: cells and seeds.
        words: the arguments of each cell's fit, as `Study.words` returns them, of the baseline's
            too.
        settings: all that the words of each cell come to, nested.
        folder: where the study's results lie.

    Raises:
        StudyError: a cell would have other queries than the baseline.
    """
    flat = {cell: dict(leaves(own)) for cell, own in settings.items()}
    for cell in flat:
        one, other = (_under(MEASURED_ON, flat[name]) for name in (study.baseline, cell))
        if change := next(_changes(one, other, (study.baseline, cell)), None):
            raise StudyError(
                "cells are compared on the same queries, so they need the same catalog and split. "
                f"{change}"
            )
    return [_job(cell, seed, words[cell], flat[cell], folder) for cell, seed in pairs]


def unused_loggers(settings: Mapping[str, Any]) -> set[str]:
    """Return the loggers that a fit's settings name, and a study's run doesn't have: it has
    TensorBoard's alone.
    """
    named = settings["trainer"]["logger"]
    each = named if isinstance(named, list) else [named]
    return {logger["class_path"] for logger in each if isinstance(logger, dict)} - {LOGGER}


def write_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds the old or the new one, never half."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _job(cell: str, seed: int, words: list[str], settings: dict[str, Any], folder: Path) -> Job:
    own = folder / folder_name(cell)
    logger = {"class_path": LOGGER, "init_args": {"save_dir": str(own), "name": f"seed-{seed}"}}
    seeded = [
        "--seed_everything",
        str(seed),
        "--data.seed",
        str(seed),
        "--trainer.logger",
        json.dumps(logger),
    ]
    kept = {key: value for key, value in settings.items() if not key.startswith(FREE)}
    return Job(
        cell=cell,
        seed=seed,
        folder=own / f"seed-{seed}",
        words=[*words, *seeded],
        settings={**kept, "seed_everything": seed, "data.seed": seed},
    )


def _finished(folder: Path) -> Path | None:
    parts = ("bundle/manifest.json", "bundle/queries.parquet")
    return next(
        (run for run in _runs(folder) if all((run / part).is_file() for part in parts)), None
    )


def _runs(folder: Path) -> list[Path]:
    """Return the runs in a job's folder, the newest first."""
    found = [path for path in folder.glob("version_*") if re.fullmatch(r"version_\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("_")[1]), reverse=True)


def _under(keys: tuple[str, ...], settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key.startswith(keys)}


def _changes(
    one: dict[str, Any], other: dict[str, Any], names: tuple[str, str] = ("stored", "asked for now")
) -> Iterator[str]:
    for key in sorted({*one, *other}):
        values = [json.dumps(side[key]) if key in side else "not set" for side in (one, other)]
        if values[0] != values[1]:
            yield f"{key}: {', '.join(f'{value} ({name})' for value, name in zip(values, names, strict=True))}"
