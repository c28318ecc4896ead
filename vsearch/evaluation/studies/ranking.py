from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vsearch.evaluation.comparing.paired_bootstrap import paired_bootstrap
from vsearch.evaluation.comparing.runs import Run
from vsearch.evaluation.metrics import means, single_query_labels, which_mean
from vsearch.evaluation.studies.study import METRICS, Study, StudyError

Runs = Mapping[int, Run]  # of one cell, by seed
KINDS = ("micro", "macro")
COMPARED_ON = {"queries": "queries", "items": "gallery items", "train": "train photos"}


def rank(
    study: Study, runs: Mapping[str, Runs], failed: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Rank a study's cells by its metric's mean over seeds, and test each against the baseline.

    `paired_bootstrap` compares a cell with the baseline on the same queries, with the seeds that
    both have. The p-values of the study's metric are corrected for the number of cells (`holm`).
    The best cell comes first, cells without a run last.

    Args:
        study: the study.
        runs: the runs so far, of each cell by seed; may lack cells.
        failed: the seeds of each cell that ended without a bundle; may lack cells.

    Returns:
        Plain JSON values, None or empty if still unknown.
    """
    every: list[Run] = []
    for of_cell in runs.values():
        every += of_cell.values()
    _check(every)
    cells = [_cell(study, name, runs, failed) for name in study.cells]
    cells.sort(key=lambda cell: -cell["estimate"]["value"] if cell["estimate"] else np.inf)

    tested = [cell["difference"] for cell in cells if cell["difference"]]
    p_values = holm([difference["p_value"] for difference in tested])
    for difference, p_value in zip(tested, p_values, strict=True):
        difference["holm_p_value"] = p_value

    labels = every[0].queries["label"].to_numpy(dtype=str) if every else np.empty(0, dtype=str)
    return {
        "name": study.name,
        "question": study.question,
        "baseline": study.baseline,
        "rank_by": study.rank_by,
        "monitor": study.monitor,
        "seeds": list(study.seeds),
        "queries": len(labels),
        "labels": len(np.unique(labels)),
        "single_query_labels": single_query_labels(labels),
        "synthetic": any(run.manifest.get("protocol", {}).get("synthetic") for run in every),
        "cells": cells,
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values so that the chance of any false finding stays below the level.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the smallest of m is
    multiplied by m, the next by m - 1, ...; none falls below the one before it, none exceeds 1.
    """
    order = np.argsort(p_values, kind="stable")
    products = np.asarray(p_values, dtype=float)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(products), 1)
    return [float(value) for value in corrected[np.argsort(order)]]


def _cell(
    study: Study, name: str, runs: Mapping[str, Runs], failed: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Return the results of a cell.

    - `metrics`, over seeds: {metric: {micro, macro: {mean, sd, untrained}}}; sd is None for one.
    - `estimate` of rank_by; `cost`, the mean over seeds, with the best epoch counted from 0.
    - `differences` from the baseline, by metric and mean; `difference`: that of rank_by, with
      `seeds`, the number of seeds that both have.
    """
    own = runs.get(name, {})
    base = runs.get(study.baseline, {})
    metric, kind = which_mean(study.rank_by)
    differences = _differences(own, base) if name != study.baseline else {}
    difference = None
    if differences:
        difference = {**differences[metric][kind], "seeds": len(own.keys() & base.keys())}
    origins = {str(run.manifest.get("model", {}).get("origin")) for run in own.values()}
    return {
        "cell": name,
        "seeds": sorted(own),
        "failed": sorted(failed.get(name, ())),
        "metrics": _metrics(own),
        "estimate": _estimate(own, metric, kind) if own else None,
        "origins": sorted(origins),
        "cost": _cost(own),
        "difference": difference,
        "differences": differences,
    }


def _values(runs: Runs, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Return each metric's values (n_seeds, n_queries)."""
    tables = [runs[seed].queries for seed in seeds]
    return {
        name: np.stack([table[name].to_numpy(dtype=float) for table in tables]) for name in METRICS
    }


def _estimate(runs: Runs, metric: str, kind: str) -> dict[str, float]:
    """Return the value with its interval over queries and seeds, as its difference from 0."""
    values = {metric: _values(runs, list(runs))[metric]}
    nothing = {metric: np.zeros_like(values[metric])}
    found = paired_bootstrap(values, nothing, _labels(runs))[metric][kind]
    return {"value": found.value, "low": found.low, "high": found.high}


def _labels(runs: Runs) -> np.ndarray:
    return next(iter(runs.values())).queries["label"].to_numpy(dtype=str)


def _metrics(runs: Runs) -> dict[str, Any]:
    if not runs:
        return {}
    by_seed = []
    untrained = []
    for seed, run in runs.items():
        values = {name: value[0] for name, value in _values(runs, [seed]).items()}
        by_seed.append(means(values, _labels(runs)))
        untrained.append(run.manifest.get("metrics", {}).get("untrained", {}))

    def over_seeds(metric: str, kind: str) -> dict[str, float | None]:
        trained = [found[metric][kind] for found in by_seed]
        before = [found.get(metric, {}).get(kind, {}).get("value") for found in untrained]
        return {
            "mean": float(np.mean(trained)),
            "sd": float(np.std(trained, ddof=1)) if len(trained) > 1 else None,
            "untrained": _mean(before),
        }

    return {metric: {kind: over_seeds(metric, kind) for kind in KINDS} for metric in METRICS}


def _differences(runs: Runs, base: Runs) -> dict[str, Any]:
    shared = sorted(runs.keys() & base.keys())
    if not shared:
        return {}
    found = paired_bootstrap(_values(runs, shared), _values(base, shared), _labels(base))
    return {
        metric: {kind: asdict(value) for kind, value in kinds.items()}
        for metric, kinds in found.items()
    }


def _cost(runs: Runs) -> dict[str, float | None]:
    costs = [
        {**run.cost, "best_epoch": run.manifest.get("model", {}).get("epoch")}
        for run in runs.values()
    ]
    return {name: _mean([cost[name] for cost in costs]) for name in (costs[0] if costs else ())}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _check(runs: Sequence[Run]) -> None:
    """Refuse runs that can't be paired."""
    for run in runs:
        if lacking := sorted(set(METRICS) - set(run.metrics)):
            raise StudyError(
                f"{run.folder} doesn't have {', '.join(lacking)}: delete it to run it again."
            )
        for name, title in COMPARED_ON.items():
            one = getattr(run, name)
            other = getattr(runs[0], name)
            if one is None or other is None:  # a run's split.csv is gone
                continue
            if not one[["id", "label"]].equals(other[["id", "label"]]):
                raise StudyError(
                    f"{run.folder} and {runs[0].folder} have different {title} or labels: they "
                    "can't be compared. Delete the older one to run it again."
                )
