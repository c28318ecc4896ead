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
    """Rank a study's cells by the mean over seeds of its metric, and test each against the
    baseline.

    A cell and the baseline are compared on the same queries with the seeds that both have, by
    `paired_bootstrap`: a difference has to stand out from that between queries and from that between
    seeds. The p-values of the study's metric are corrected for the number of cells compared
    (`holm`).

    Args:
        study: what was asked.
        runs: those that there are so far, of each cell by seed; may lack cells.
        failed: the seeds of each cell that ended without a bundle; may lack cells.

    Returns:
        Plain JSON values: name, question, baseline, rank_by, monitor, seeds, queries (how many),
        labels, and single_query_labels of them, synthetic (photos), and cells, best first, those
        without a run last. What can't be known yet is None or empty. A cell has:

        - cell (its name), seeds (those done), failed, origins (of the weights that it started
          from).
        - metrics {metric: {micro, macro: {mean, sd, untrained}}}, over seeds; sd is None for a
          single one.
        - estimate {value, low, high} of rank_by; cost and best_epoch (from 0), the mean over seeds.
        - differences {metric: {micro, macro: {value, low, high, p_value}}} from the baseline, and
          difference, that of rank_by with seeds (how many both have) and holm_p_value.

    Raises:
        StudyError: the runs answered different queries.
    """
    every = [run for of_cell in runs.values() for run in of_cell.values()]
    _check(every)
    cells = [_cell(study, name, runs, failed) for name in study.cells]
    tested = [cell["difference"] for cell in cells if cell["difference"]]
    for difference, p_value in zip(
        tested, holm([found["p_value"] for found in tested]), strict=True
    ):
        difference["holm_p_value"] = p_value
    return {
        **{
            name: getattr(study, name)
            for name in ("name", "question", "baseline", "rank_by", "monitor")
        },
        "seeds": list(study.seeds),
        "queries": len(every[0].queries) if every else 0,
        "labels": int(every[0].queries["label"].nunique()) if every else 0,
        "single_query_labels": single_query_labels(every[0].queries["label"].to_numpy(dtype=str))
        if every
        else 0,
        "synthetic": any(run.manifest.get("protocol", {}).get("synthetic") for run in every),
        "cells": sorted(
            cells, key=lambda cell: -cell["estimate"]["value"] if cell["estimate"] else np.inf
        ),
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, so that the chance of any false finding stays below the
    level.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the smallest of m is
    multiplied by m, the next by m - 1, ...; none falls below the one before it, none exceeds 1. In
    the order given.
    """
    order = np.argsort(p_values, kind="stable")
    products = np.asarray(p_values, dtype=float)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(products), 1)
    return [float(value) for value in corrected[np.argsort(order)]]


def _cell(
    study: Study, name: str, runs: Mapping[str, Runs], failed: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    own, base = runs.get(name, {}), runs.get(study.baseline, {})
    metric, kind = which_mean(study.rank_by)
    differences = _differences(own, base) if name != study.baseline else {}
    shared = {"seeds": len(own.keys() & base.keys())}
    return {
        "cell": name,
        "seeds": sorted(own),
        "failed": sorted(failed.get(name, ())),
        "metrics": _metrics(own),
        "estimate": _estimate(own, metric, kind) if own else None,
        "origins": sorted(
            {str(run.manifest.get("model", {}).get("origin")) for run in own.values()}
        ),
        "cost": _cost(own),
        "difference": {**differences[metric][kind], **shared} if differences else None,
        "differences": differences,
    }


def _values(runs: Runs, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Return each metric's values (n_seeds, n_queries)."""
    tables = [runs[seed].queries for seed in seeds]
    return {
        name: np.stack([table[name].to_numpy(dtype=float) for table in tables]) for name in METRICS
    }


def _estimate(runs: Runs, metric: str, kind: str) -> dict[str, float]:
    """Return the value with the interval of its difference from 0: over queries and seeds, as the
    differences'.
    """
    values = {metric: _values(runs, list(runs))[metric]}
    found = asdict(
        paired_bootstrap(values, {metric: np.zeros_like(values[metric])}, _labels(runs))[metric][
            kind
        ]
    )
    return {name: found[name] for name in ("value", "low", "high")}


def _labels(runs: Runs) -> np.ndarray:
    return next(iter(runs.values())).queries["label"].to_numpy(dtype=str)


def _metrics(runs: Runs) -> dict[str, Any]:
    if not runs:
        return {}
    alone = [{name: value[0] for name, value in _values(runs, [seed]).items()} for seed in runs]
    found = [means(values, _labels(runs)) for values in alone]
    untrained = [run.manifest.get("metrics", {}).get("untrained", {}) for run in runs.values()]
    return {
        metric: {
            kind: {
                "mean": float(np.mean([values[metric][kind] for values in found])),
                "sd": float(np.std([values[metric][kind] for values in found], ddof=1))
                if len(found) > 1
                else None,
                "untrained": _mean(
                    [before.get(metric, {}).get(kind, {}).get("value") for before in untrained]
                ),
            }
            for kind in KINDS
        }
        for metric in METRICS
    }


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
            one, other = (getattr(side, name) for side in (run, runs[0]))
            if one is None or other is None:  # a run's split.csv is gone
                continue
            if not one[["id", "label"]].equals(other[["id", "label"]]):
                raise StudyError(
                    f"{run.folder} and {runs[0].folder} have other {title}, or other labels: they "
                    "can't be compared. Did the catalog change? Delete the older one to run it "
                    "again."
                )
