from dataclasses import dataclass

import numpy as np

KS = {"precision": (1, 5, 10), "cmc": (5, 10)}  # cmc_at_1 is precision_at_1
DEPTH = 10  # of recall_at_10 and ndcg_at_10
MACRO = "_macro"  # at the end of a metric's name: the mean over labels instead of over queries
LEVEL = (0.025, 0.975)  # ends of the 95 % interval
BLOCK = 1 << 21  # draws held at once by the bootstrap: about 50 MB


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its 95 % bootstrap interval, all in the metric's own unit."""

    value: float
    low: float
    high: float


def per_query(relevant: np.ndarray, n_relevant: np.ndarray) -> dict[str, np.ndarray]:
    """Score every query's ranking: one float64 array `(n_queries,)` in 0..1 per metric, higher is
    better.

    A ranking shorter than a metric needs is read as if misses followed. With R = `n_relevant` of
    the query:

    - `precision_at_k`: hits in the top k / k.
    - `cmc_at_k`: 1 if the top k hold any hit, else 0 (what papers call Recall@k).
    - `recall_at_10`: hits in the top 10 / R.
    - `r_precision`: hits in the top R / R.
    - `map_at_r`: (1/R) * sum of precision_at_i over the hits at ranks i <= R (Musgrave et al. 2020,
      "A Metric Learning Reality Check").
    - `ndcg_at_10`: gain 1 a hit, discount 1 / log2(1 + rank), over that of min(10, R) hits at the
      top (Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques").

    Args:
        relevant: bool `(n_queries, depth)`, best hit first: has hit j of query i the query's label?
            The depth must reach max(10, the largest R) unless the gallery is smaller.
        n_relevant: int `(n_queries,)`, 1 or more: how many items of the gallery have the query's
            label.

    Raises:
        ValueError: a query has no relevant item, or more hits than relevant items, or the lengths
            differ.
    """
    if n_relevant.shape != relevant.shape[:1]:
        raise ValueError(
            f"n_relevant is {n_relevant.shape}, but relevant {relevant.shape} needs "
            f"{relevant.shape[:1]}."
        )
    _refuse(n_relevant < 1, "have nothing relevant in the gallery", "Leave them out first.")
    n_hits = np.count_nonzero(relevant, axis=1)
    _refuse(n_hits > n_relevant, "have more hits than n_relevant", "Count both over one gallery.")

    query, place = np.nonzero(relevant)  # every hit; place 0 is the top
    nth = (
        np.arange(1, len(query) + 1) - (np.cumsum(n_hits) - n_hits)[query]
    )  # its number among its query's hits
    in_top_r = place < n_relevant[query]

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(query, weights, minlength=len(relevant))

    top = {k: total(place < k) for k in (*KS["precision"], *KS["cmc"], DEPTH)}
    return {
        **{f"precision_at_{k}": top[k] / k for k in KS["precision"]},
        **{f"cmc_at_{k}": np.minimum(top[k], 1.0) for k in KS["cmc"]},
        f"recall_at_{DEPTH}": top[DEPTH] / n_relevant,
        "map_at_r": total(in_top_r * nth / (place + 1)) / n_relevant,
        "r_precision": total(in_top_r) / n_relevant,
        f"ndcg_at_{DEPTH}": total((place < DEPTH) / np.log2(place + 2)) / _best_gain(n_relevant),
    }


def chance(n_relevant: np.ndarray, n_gallery: int | np.ndarray) -> dict[str, np.ndarray]:
    """Expect every metric of `per_query` under a uniformly random ranking of the whole gallery.

    Exact closed forms: a rank holds a hit with probability p = R / N, two ranks with p * (R - 1) /
    (N - 1), and the number of hits in the top k is hypergeometric. Same keys as `per_query`,
    float64 `(n_queries,)`.

    Args:
        n_relevant: int `(n_queries,)`, R, from 1 to N.
        n_gallery: N, for all queries or one each `(n_queries,)`: the items searched, without the
            query itself.

    Raises:
        ValueError: an R lies outside 1..N.
    """
    n = np.broadcast_to(n_gallery, n_relevant.shape)
    _refuse(n_relevant < 1, "have nothing relevant in the gallery", "Leave them out first.")
    _refuse(
        n_relevant > n,
        "have more relevant items than the gallery has items",
        "Count both over one gallery.",
    )
    p = n_relevant / n
    harmonic = np.cumsum(1 / np.arange(1, n_relevant.max(initial=1) + 1))[n_relevant - 1]
    again = (n_relevant - 1) / np.maximum(n - 1, 1)  # the chance of a second hit, given one
    return {
        **{f"precision_at_{k}": p * np.minimum(k, n) / k for k in KS["precision"]},
        **{f"cmc_at_{k}": 1 - _all_miss(k, n_relevant, n) for k in KS["cmc"]},
        f"recall_at_{DEPTH}": np.minimum(DEPTH, n) / n,
        "map_at_r": (harmonic + again * (n_relevant - harmonic)) / n,
        "r_precision": p,
        f"ndcg_at_{DEPTH}": p * _best_gain(n) / _best_gain(n_relevant),
    }


def means(values: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Average each metric: `{metric: {"micro": over queries, "macro": over labels, of the label's
    mean}}`.

    Args:
        values: one array `(n_queries,)` per metric, as `per_query` returns.
        labels: `(n_queries,)`, the queries' labels, of any type that sorts.

    Raises:
        ValueError: there are no queries, or the lengths differ.
    """
    for metric, value in values.items():
        if len(value) != len(labels) or not len(labels):
            raise ValueError(
                f"{metric}: {len(value)} values for {len(labels)} labels; give one or more, one "
                "each."
            )
    _, label, size = np.unique(labels, return_inverse=True, return_counts=True)
    return {
        metric: {
            "micro": float(value.mean()),
            "macro": float((np.bincount(label, value) / size).mean()),
        }
        for metric, value in values.items()
    }


def summarise(
    values: dict[str, np.ndarray], labels: np.ndarray, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Give the `means` their 95 % intervals by the percentile bootstrap over queries (Efron 1979).

    For macro, queries are drawn within their label: no label vanishes, and the interval speaks of
    these labels, not of labels never seen. A label with one query adds nothing to its width: with
    many of these it is too narrow.

    Args:
        values: one array `(n_queries,)` per metric; a resample is shared by all metrics.
        labels: `(n_queries,)`, the queries' labels, of any type that sorts.
        resamples: how often the queries are drawn anew.
        seed: same seed, same intervals.
    """
    point, shifts = means(values, labels), bootstrap(values, labels, resamples, seed)
    result: dict[str, dict[str, Estimate]] = {metric: {} for metric in values}
    for mean, shift in shifts.items():
        centre = np.array([point[metric][mean] for metric in values])
        ends = centre + np.quantile(shift, LEVEL, axis=0)
        for metric, *estimate in zip(values, centre.tolist(), *ends.tolist(), strict=True):
            result[metric][mean] = Estimate(*estimate)
    return result


def bootstrap(
    values: dict[str, np.ndarray], labels: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw the queries anew, and say how far each resample's means lie from the `means`.

    Of n queries, n - 1 are drawn, with replacement: with n draws the variance would come out too
    small by the factor (n - 1) / n, which is half of it for a label with two queries (Rao & Wu
    1988, "Resampling inference with complex survey data": their rescaled bootstrap for m = n - 1,
    where nothing is left to rescale and a resampled mean stays within the metric's range).

    Args:
        values: one array `(n_queries,)` per metric; a resample is shared by all metrics.
        labels: `(n_queries,)`, the queries' labels, of any type that sorts.
        resamples: how often the queries are drawn.
        seed: same seed, same draws.

    Returns:
        `{"micro", "macro": float64 (resamples, n_metrics)}`; micro draws among all queries, macro
        within each label.
    """
    table = np.stack(
        [value[np.argsort(labels, kind="stable")] for value in values.values()], axis=1
    )
    _, sizes = np.unique(labels, return_counts=True)
    groups = {"micro": np.array([len(table)]), "macro": sizes}
    return {mean: _resample(table, size, resamples, seed) for mean, size in groups.items()}


def single_query_labels(labels: np.ndarray) -> int:
    """Count the labels of a single query, which add nothing to the width of a macro interval."""
    return int((np.unique(labels, return_counts=True)[1] == 1).sum())


def which_mean(name: str) -> tuple[str, str]:
    """Return the metric and the mean that a name stands for: `map_at_r_macro` is (map_at_r, macro),
    else micro.
    """
    metric = name.removesuffix(MACRO)
    return metric, "micro" if metric == name else "macro"


def _refuse(bad: np.ndarray, what: str, advice: str) -> None:
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} queries {what} (first: query {bad.argmax()}). {advice}"
        )


def _best_gain(n_hits: np.ndarray) -> np.ndarray:
    """Return the discounted gain at DEPTH of a ranking whose first `n_hits` (>= 1) are hits."""
    return np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))[np.minimum(n_hits, DEPTH) - 1]


def _all_miss(k: int, n_relevant: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return C(N - R, k) / C(N, k) as a product of k ratios; it meets its zero before a denominator
    does.
    """
    rank = np.arange(k)
    misses = np.maximum((n - n_relevant)[:, None] - rank, 0)
    return np.prod(misses / np.maximum(n[:, None] - rank, 1), axis=1)


def _resample(table: np.ndarray, sizes: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Return how far the mean over groups of the groups' means moves, `(times, n_metrics)`, as each
    is drawn anew.

    The groups are consecutive rows of `table`, `sizes` of them; of a group's n rows n - 1 are
    drawn, of a single one none: it doesn't move.
    """
    start, draws = np.cumsum(sizes) - sizes, sizes - 1
    means_of = np.add.reduceat(table, start, axis=0) / sizes[:, None]
    # Deviations, not values: a metric that is the same for all queries gets an interval of width
    # exactly 0.
    weight = np.repeat(1 / (len(sizes) * np.maximum(draws, 1)), sizes)
    moves = weight[:, None] * (table - np.repeat(means_of, sizes, axis=0))
    low, high = np.repeat(start, draws), np.repeat(start + sizes, draws)
    rng, rows = np.random.default_rng(seed), len(table)
    sums = np.empty((times, table.shape[1]))
    for block in np.array_split(sums, min(times, 1 + times * rows // BLOCK)):
        drawn = (
            rng.integers(low, high, size=(len(block), len(low)))
            + rows * np.arange(len(block))[:, None]
        )
        counts = np.bincount(drawn.ravel(), minlength=len(block) * rows).reshape(-1, rows)
        np.matmul(counts.astype(np.float64), moves, out=block)
    return sums
