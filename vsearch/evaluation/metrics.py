from dataclasses import dataclass

import numpy as np
from scipy.special import comb

KS = {"precision": (1, 5, 10), "cmc": (5, 10)}  # cmc_at_1 is precision_at_1
DEPTH = 10  # the deepest fixed cut-off: of recall_at_10, ndcg_at_10 and others
MACRO = "_macro"  # at the end of a metric's name: the mean over labels instead of over queries
LEVEL = (0.025, 0.975)  # ends of the 95 % interval
BLOCK = 1 << 21  # draws held at once by the bootstrap: about 50 MB
# Entry n is the gain of n hits at the top, each 1 / log2(1 + its rank).
TOP_GAIN = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))])


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its 95 % bootstrap interval, all in the metric's unit."""

    value: float
    low: float
    high: float


def per_query(relevant: np.ndarray, n_relevant: np.ndarray) -> dict[str, np.ndarray]:
    """Score every query's ranking: for each metric float64 (n_queries,), 0..1, higher is better.

    A ranking that is too short for a metric is padded with misses. R is the query's `n_relevant`:

    - `precision_at_k`: hits in the top k / k.
    - `cmc_at_k`: 1 if the top k include a hit, else 0 (papers call it Recall@k).
    - `recall_at_10`: hits in the top 10 / R.
    - `r_precision`: hits in the top R / R.
    - `map_at_r`: (1/R) * sum of precision_at_i over the hits at ranks i <= R (Musgrave et al. 2020,
      "A Metric Learning Reality Check").
    - `ndcg_at_10`: gain 1 per hit, discount 1 / log2(1 + rank), divided by that of min(10, R) hits
      at the top (Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques").

    Args:
        relevant: bool (n_queries, depth), best hit first: does hit j of query i have its label? The
            depth must reach max(10, the largest R) unless the gallery is smaller.
        n_relevant: int (n_queries,), 1 or more: how many gallery items have the query's label.
    """
    if n_relevant.shape != relevant.shape[:1]:
        raise ValueError(f"n_relevant is {n_relevant.shape}, but relevant {relevant.shape}.")
    _refuse(n_relevant < 1, "have nothing relevant in the gallery", "Leave them out first.")
    n_hits = np.count_nonzero(relevant, axis=1)
    _refuse(n_hits > n_relevant, "have more hits than n_relevant", "Count both over one gallery.")

    query, place = np.nonzero(relevant)  # all hits; place 0 is the top
    hits_before = np.cumsum(n_hits) - n_hits
    nth = np.arange(1, len(query) + 1) - hits_before[query]  # its number among its query's hits
    in_top_r = place < n_relevant[query]

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(query, weights, minlength=len(relevant))

    top = {k: total(place < k) for k in (*KS["precision"], *KS["cmc"], DEPTH)}
    gain = total((place < DEPTH) / np.log2(place + 2))
    return {
        **{f"precision_at_{k}": top[k] / k for k in KS["precision"]},
        **{f"cmc_at_{k}": np.minimum(top[k], 1.0) for k in KS["cmc"]},
        f"recall_at_{DEPTH}": top[DEPTH] / n_relevant,
        "map_at_r": total(in_top_r * nth / (place + 1)) / n_relevant,
        "r_precision": total(in_top_r) / n_relevant,
        f"ndcg_at_{DEPTH}": gain / TOP_GAIN[np.minimum(n_relevant, DEPTH)],
    }


def chance(n_relevant: np.ndarray, n_gallery: int | np.ndarray) -> dict[str, np.ndarray]:
    """Return the expectation of every metric of `per_query` for a random ranking.

    Each is float64 (n_queries,), and exact: a rank is a hit with probability p = R / N, two ranks
    with p * (R - 1) / (N - 1), and the number of hits in the top k is hypergeometric.

    Args:
        n_relevant: int (n_queries,), R, from 1 to N.
        n_gallery: N, for all queries or one each: the items searched, without the query itself.
    """
    n = np.broadcast_to(n_gallery, n_relevant.shape)
    _refuse(n_relevant < 1, "have nothing relevant in the gallery", "Leave them out first.")
    excess = "have more relevant items than there are gallery items"
    _refuse(n_relevant > n, excess, "Count both over one gallery.")
    p = n_relevant / n
    harmonic = np.cumsum(1 / np.arange(1, n_relevant.max(initial=1) + 1))[n_relevant - 1]
    again = (n_relevant - 1) / np.maximum(n - 1, 1)  # probability of a second hit, given one

    def all_miss(k: int) -> np.ndarray:
        top = np.minimum(k, n)
        return comb(n - n_relevant, top) / comb(n, top)

    best_gain = TOP_GAIN[np.minimum(n_relevant, DEPTH)]
    return {
        **{f"precision_at_{k}": p * np.minimum(k, n) / k for k in KS["precision"]},
        **{f"cmc_at_{k}": 1 - all_miss(k) for k in KS["cmc"]},
        f"recall_at_{DEPTH}": np.minimum(DEPTH, n) / n,
        "map_at_r": (harmonic + again * (n_relevant - harmonic)) / n,
        "r_precision": p,
        f"ndcg_at_{DEPTH}": p * TOP_GAIN[np.minimum(n, DEPTH)] / best_gain,
    }


def means(values: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Average each metric: "micro" over queries, "macro" over the labels' means.

    `values` is one array (n_queries,) per metric, `labels` the queries' labels, of any sortable
    type.
    """
    for metric, value in values.items():
        if len(value) != len(labels) or not len(labels):
            raise ValueError(f"{metric}: {len(value)} values for {len(labels)} labels.")
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
    """Return the `means` with 95 % intervals by the percentile bootstrap over queries (Efron 1979).

    For macro, queries are drawn within their label, so the interval is only about these labels. A
    label with one query adds nothing to its width, so with many of them it is too narrow. Arguments
    as for `bootstrap`.
    """
    point = means(values, labels)
    result: dict[str, dict[str, Estimate]] = {metric: {} for metric in values}
    for mean, shifts in bootstrap(values, labels, resamples, seed).items():
        ends = np.quantile(shifts, LEVEL, axis=0)
        for metric, low, high in zip(values, *ends.tolist(), strict=True):
            value = point[metric][mean]
            result[metric][mean] = Estimate(value, value + low, value + high)
    return result


def bootstrap(
    values: dict[str, np.ndarray], labels: np.ndarray, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Resample the queries, and return how far each resample's means are from the `means`.

    Of n queries, n - 1 are drawn with replacement: n draws would make the variance too small by the
    factor (n - 1) / n (Rao & Wu 1988, "Resampling inference with complex survey data").

    Args:
        values: one array (n_queries,) per metric; all metrics share a resample.
        labels: (n_queries,), the queries' labels.
        resamples: how often the queries are drawn.
        seed: of the draws.

    Returns:
        "micro" and "macro", float64 (resamples, n_metrics); micro draws among all queries, macro
        within each label.
    """
    order = np.argsort(labels, kind="stable")
    table = np.stack([value[order] for value in values.values()], axis=1)
    _, sizes = np.unique(labels, return_counts=True)
    return {
        "micro": _resample(table, np.array([len(table)]), resamples, seed),
        "macro": _resample(table, sizes, resamples, seed),
    }


def single_query_labels(labels: np.ndarray) -> int:
    """Count the labels with one query, which add nothing to the width of a macro interval."""
    return int((np.unique(labels, return_counts=True)[1] == 1).sum())


def which_mean(name: str) -> tuple[str, str]:
    """Return a name's metric and mean: (map_at_r, macro) for `map_at_r_macro`, else micro."""
    metric = name.removesuffix(MACRO)
    return metric, "micro" if metric == name else "macro"


def _refuse(bad: np.ndarray, what: str, advice: str) -> None:
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} queries {what} (first: query {bad.argmax()}). {advice}"
        )


def _resample(table: np.ndarray, sizes: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Return how far the mean over groups of the groups' means moves, (times, n_metrics).

    The groups are consecutive rows of `table`, `sizes` of them.
    """
    n_rows = len(table)
    draws = sizes - 1
    start = np.cumsum(sizes) - sizes
    group_means = np.add.reduceat(table, start, axis=0) / sizes[:, None]

    # Deviations, not values: a metric that is the same for all queries gets an interval of exactly
    # 0 width.
    weight = np.repeat(1 / (len(sizes) * np.maximum(draws, 1)), sizes)
    moves = weight[:, None] * (table - np.repeat(group_means, sizes, axis=0))

    low = np.repeat(start, draws)
    high = np.repeat(start + sizes, draws)
    rng = np.random.default_rng(seed)
    sums = np.empty((times, table.shape[1]))
    for block in np.array_split(sums, min(times, 1 + times * n_rows // BLOCK)):
        drawn = rng.integers(low, high, size=(len(block), len(low)))
        drawn += n_rows * np.arange(len(block))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=len(block) * n_rows)
        np.matmul(counts.reshape(-1, n_rows).astype(np.float64), moves, out=block)
    return sums
