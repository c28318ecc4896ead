import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vsearch.errors import VsearchError
from vsearch.evaluation.metrics import MACRO, per_query, which_mean

SHIPPED = Path("configs/studies")  # studies here are found by name
METRICS = tuple(per_query(np.ones((1, 10), dtype=bool), np.array([10])))
KEYS = {"baseline", "seeds", "rank_by", "monitor", "cells"}
VAL = "val/"  # prefix of metrics that are measured each epoch


class StudyError(VsearchError):
    """A study can't be read, or its cells can't be run or compared."""


@dataclass(frozen=True)
class Study:
    """A question, and the cells whose runs answer it.

    Attributes:
        name: the stem of its file.
        question: the comment at the top of its file.
        baseline: the cell to compare the others with.
        seeds: each cell is run once with each seed.
        rank_by: a metric of `metrics.per_query`; with `_macro` at its end, the mean over labels.
        cells: by name, the overlays of each as values of `--config`: paths, or JSON.
        monitor: the metric, higher is better, that picks every cell's best epoch and stops its fit,
            such as `val/map_at_r`; None leaves that to each cell's callbacks.
    """

    name: str
    question: str
    baseline: str
    seeds: tuple[int, ...]
    rank_by: str
    cells: dict[str, list[str]]
    monitor: str | None = None

    def narrowed(self, cells: Sequence[str] | None, seeds: Sequence[int] | None) -> "Study":
        """Return the study with some of its cells, always with the baseline, or other seeds."""
        if unknown := sorted(set(cells or ()) - set(self.cells)):
            raise StudyError(
                f"{self.name} has no cell {', '.join(unknown)}; it has {', '.join(self.cells)}."
            )
        names = [name for name in self.cells if not cells or name in (*cells, self.baseline)]
        return replace(
            self,
            cells={name: self.cells[name] for name in names},
            seeds=_seeds(list(seeds), self.name) if seeds else self.seeds,
        )

    def words(self, cell: str, configs: Sequence[str], overrides: Sequence[str]) -> list[str]:
        """Return a cell's arguments of `fit`: shared configs, the cell's overlays, overrides."""
        words = []
        for config in (*configs, *self.cells[cell]):
            words += ["--config", config]
        return [*words, *overrides]


def read_study(name: str) -> Study:
    """Read a study from its file, or from configs/studies by its name."""
    path = Path(name) if Path(name).is_file() else SHIPPED / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml"))) or "none"
        raise StudyError(
            f"no study {name}: it is neither a file nor in {SHIPPED}, which has {there}."
        )
    text = path.read_text()
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} isn't valid YAML: {error}") from error
    if not isinstance(content, dict) or not {"baseline", "cells"} <= set(content) <= KEYS:
        raise StudyError(
            f"{path}: a study has the keys baseline and cells, maybe seeds, rank_by, monitor; no "
            "others."
        )
    if not isinstance(content["cells"], dict) or content["baseline"] not in content["cells"]:
        raise StudyError(
            f"{path}: cells must map names to lists of overlays, and baseline name one of them."
        )
    return Study(
        name=path.stem,
        question=_top_comment(text),
        baseline=content["baseline"],
        seeds=_seeds(content.get("seeds", [0]), path),
        rank_by=_rank_by(content.get("rank_by", "map_at_r"), path),
        cells=_cells(content["cells"], path),
        monitor=_monitor(content.get("monitor"), path),
    )


def folder_name(cell: str) -> str:
    """Return a cell's name as a folder's; a hyphen replaces all but letters, digits, . and _."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", cell).strip("-.")


def _cells(cells: dict[Any, Any], path: Path) -> dict[str, list[str]]:
    folders: dict[str, str] = {}
    files: set[str] = set()
    for name, overlays in cells.items():
        if not isinstance(name, str) or "," in name or not folder_name(name):
            raise StudyError(
                f"{path}: {name!r} can't name a cell: use letters or digits and no comma; quote it "
                "if necessary."
            )
        if not isinstance(overlays, list) or not all(
            isinstance(overlay, str | dict) for overlay in overlays
        ):
            raise StudyError(
                f"{path}: cell {name!r} must be a list of overlays: paths or mappings; [] for none."
            )
        other = folders.setdefault(folder_name(name).lower(), name)
        if other != name:
            raise StudyError(
                f"{path}: cells {other!r} and {name!r} would share a folder: rename one."
            )
        files.update(overlay for overlay in overlays if isinstance(overlay, str))

    if missing := sorted(file for file in files if not (path.parent / file).is_file()):
        raise StudyError(
            f"{path}: there is no {', '.join(missing)} (paths are relative to the study's file)."
        )
    return {
        name: [_overlay(overlay, path) for overlay in overlays] for name, overlays in cells.items()
    }


def _overlay(overlay: str | dict[str, Any], path: Path) -> str:
    if isinstance(overlay, dict):
        return json.dumps(overlay)
    return os.path.normpath(path.parent / overlay)


def _rank_by(name: Any, path: Path) -> str:
    if not _is_metric(name):
        raise StudyError(
            f"{path}: rank_by is {name!r}, not one of {', '.join(METRICS)} (or that with {MACRO})."
        )
    return str(name)


def _monitor(name: Any, path: Path) -> str | None:
    if name is None:
        return None
    if not str(name).startswith(VAL) or not _is_metric(str(name).removeprefix(VAL)):
        raise StudyError(
            f"{path}: monitor is {name!r}, not a metric of the val part such as val/map_at_r."
        )
    return str(name)


def _seeds(seeds: Any, where: object) -> tuple[int, ...]:
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise StudyError(
            f"{where}: seeds must be a list of different whole numbers, 0 or more, not {seeds!r}."
        )
    return tuple(seeds)


def _is_metric(name: object) -> bool:
    return isinstance(name, str) and which_mean(name)[0] in METRICS


def _top_comment(text: str) -> str:
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return "\n".join(line[1:].removeprefix(" ") for line in lines)
