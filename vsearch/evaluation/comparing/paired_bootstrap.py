from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from vsearch.evaluation.metrics import bootstrap, means

ROUNDING = 1e-12  # a resampled difference this close to 0 counts as 0
ONE_IN = 40  # is outside each end of a 95 % interval


@dataclass(frozen=True)
class Difference:
    """How much higher one run scores than another on the same queries, in the metric's unit.

    Attributes:
        value: mean of the run minus mean of its base; above 0 the run is better.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p_value: two-sided, 0..1: how likely resampled queries (and other seeds, if there are
            several) would put the other run ahead; below 0.05 if the interval excludes 0.
    """

    value: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    values: dict[str, np.ndarray],
    base: dict[str, np.ndarray],
    labels: np.ndarray,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Difference]]:
    """Compare two runs on the same queries (Efron & Tibshirani 1993, chapters 13 and 15).

    Each query gives one difference; these are resampled (`metrics.bootstrap`). The p-value (section
    15.4) is twice the smaller share of the resampled means on one side of 0, those at 0 counted on
    both, as (1 + count) / (1 + resamples), at most 1. The interval's ends are the resampled means
    at which it reaches 5 %.

    A single seed says nothing about training the same recipe again. With n seeds, each trained with
    both recipes, the queries' differences are averaged over the seeds, and the error of that
    average is added: their standard error times Student's t with n - 1 degrees of freedom.
    Resampling two or three seeds like queries would give intervals that are far too narrow.

    Args:
        values: the run's metrics, (n_queries,) or (n_seeds, n_queries) each.
        base: the same of the run to compare with, its seeds and queries in the same order.
        labels: (n_queries,), the queries' labels, of any sortable type.
        resamples: how often the queries are resampled; 40 or more.
        seed: of the draws.

    Returns:
        By metric: "micro", over queries, and "macro", over labels, with queries drawn within each.
    """
    changes = _changes(values, base)
    average = {metric: change.mean(axis=0) for metric, change in changes.items()}
    point = means(average, labels)
    shifts = bootstrap(average, labels, resamples, seed)
    errors = _seed_errors(changes, labels, resamples, seed)

    result: dict[str, dict[str, Difference]] = {metric: {} for metric in changes}
    for mean, shift in shifts.items():
        resampled = shift + errors[mean] + [point[metric][mean] for metric in changes]
        resampled[np.abs(resampled) < ROUNDING] = 0
        for metric, draws in zip(changes, resampled.T, strict=True):
            low, high = _interval(draws)
            result[metric][mean] = Difference(point[metric][mean], low, high, _p_value(draws))
    return result


def _changes(values: dict[str, np.ndarray], base: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return each metric's differences, (n_seeds, n_queries)."""
    if values.keys() != base.keys():
        raise ValueError(f"one run has the metrics {sorted(values)}, the other {sorted(base)}")
    for metric, value in values.items():
        if value.shape != base[metric].shape:
            raise ValueError(
                f"{metric}: values {value.shape} against {base[metric].shape}: not the same queries"
            )
    return {metric: np.atleast_2d(value - base[metric]) for metric, value in values.items()}


def _seed_errors(
    changes: dict[str, np.ndarray], labels: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return, for each mean, errors (resamples, n_metrics) of the mean over seeds."""
    n = len(next(iter(changes.values())))
    if n == 1:
        return {"micro": np.zeros(1), "macro": np.zeros(1)}

    # Even steps, since drawn quantiles have noisy ends; they are paired with query draws at random.
    quantiles = stdtrit(n - 1, (np.arange(resamples) + 0.5) / resamples)
    quantiles = np.random.default_rng([seed, n]).permutation(quantiles)

    by_seed = []
    for number in range(n):
        own = {metric: change[number] for metric, change in changes.items()}
        by_seed.append(means(own, labels))

    errors = {}
    for mean in ("micro", "macro"):
        table = np.array([[found[metric][mean] for metric in changes] for found in by_seed])
        errors[mean] = quantiles[:, None] * table.std(axis=0, ddof=1) / np.sqrt(n)
    return errors


def _interval(draws: np.ndarray) -> tuple[float, float]:
    """Return the ends of the interval: both above or both below 0 exactly if p is below 0.05."""
    ordered = np.sort(draws)
    # The most that 2 * (1 + count) / (1 + resamples) < 0.05 allows.
    beyond = max(len(ordered) // ONE_IN - 1, 0)
    return float(ordered[beyond]), float(ordered[-1 - beyond])


def _p_value(draws: np.ndarray) -> float:
    one_sided = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1, 2 * (1 + one_sided) / (1 + len(draws))))
