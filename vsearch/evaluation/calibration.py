import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vsearch.bundle.generations.files import check_file
from vsearch.errors import BundleError

FILE = "calibration.json"
ERROR_RATE = 0.1


@dataclass(frozen=True)
class Calibration:
    """What a bundle's scores mean, learnt from held-out queries with known labels.

    **The threshold** is split conformal prediction (Vovk, Gammerman & Shafer 2005, "Algorithmic
    Learning in a Random World", chapter 4.5; Lei et al. 2018, "Distribution-Free Predictive
    Inference for Regression") on the held-out queries whose best hit is right. Of their m best
    scores it is the k-th lowest, k = floor(error_rate * (m + 1)). With fewer than 1 / error_rate -
    1 right ones (9 for 0.1) k is 0, and there is no threshold.

    - Guaranteed: of queries whose best hit is right, at most `error_rate` get "no good match", on
      average over draws of the held-out queries; for a single draw the rate has the distribution
      Beta(k, m + 1 - k) (Vovk 2012, "Conditional Validity of Inductive Conformal Predictors").
    - Assumed: the query is another photo of the same catalog, and searches the same index without
      filters. There is no guarantee for other kinds of photos (a customer's phone).
    - Not guaranteed: that hits above the threshold are right. The report measures that.

    **The probability** that a hit's label is right rises with its score: isotonic regression
    (Zadrozny & Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates"; pool adjacent violators, Ayer et al. 1955). Right counts as (r + 1) / (r + 2) and
    wrong as 1 / (w + 2) for r right and w wrong hits (Platt 1999, "Probabilistic Outputs for
    Support Vector Machines"), so that nothing is certain. It is a fit, not a guarantee.

    Attributes:
        threshold: lowest cosine of a best hit that counts as a good match; None: no guarantee.
        error_rate: see above, 0..1, both excluded.
        scores: ascending cosines, float64 (n,), between which the probability is interpolated;
            outside it is constant.
        probabilities: those at `scores`, never decreasing, 0..1.
        queries: number of held-out queries.
        right: m, the number of them with a right best hit.
        source: which queries they are.
    """

    threshold: float | None
    error_rate: float
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    queries: int
    right: int
    source: str = ""

    def probability(self, scores: ArrayLike) -> np.ndarray:
        """Return the probability, 0..1, that hits with these scores (cosines) are right."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.probabilities)

    def good_match(self, best: float | None) -> bool | None:
        """Return whether a query's best score is a good match; None: there is no threshold.

        `best` is a cosine, or None if nothing was found.
        """
        if self.threshold is None:
            return None
        return best is not None and best >= self.threshold

    def describe(self) -> dict[str, Any]:
        """Return threshold, error rate, counts, and the guarantee in words, as JSON values."""
        names = ("threshold", "error_rate", "queries", "right", "source")
        return {**{name: getattr(self, name) for name in names}, "promise": self._promise()}

    def _promise(self) -> str:
        rate = f"{100 * self.error_rate:g} %"
        if self.threshold is None:
            return (
                f"There is no threshold: the best hits of {self.right} of "
                f"{self.queries} held-out queries were right, and {rate} needs at least "
                f"{math.ceil(1 / self.error_rate - 1 - 1e-9)}."
            )
        return (
            f"Of queries like the held-out ones with a right best hit, at most {rate} score "
            f"below {self.threshold:.4f}, which counts as no good match."
        )


def fit(
    scores: np.ndarray, right: np.ndarray, error_rate: float = ERROR_RATE, source: str = ""
) -> Calibration:
    """Calibrate on the hits of held-out queries.

    Args:
        scores: cosines, float (q, depth), of each query's hits, best first; NaN for no hit.
        right: bool (q, depth), whether the hit has the query's label.
        error_rate: see `Calibration`; a ValueError if it isn't between 0 and 1.
        source: which queries these are.
    """
    check_rate(error_rate)
    if scores.ndim != 2 or scores.shape != right.shape:
        raise ValueError(
            f"scores {scores.shape} and right {right.shape} must be of one shape, (queries, depth)"
        )
    there = ~np.isnan(scores)
    best = scores[:, 0][right[:, 0] & there[:, 0]]
    knots, probabilities = _isotonic(scores[there].astype(np.float64), right[there])
    return Calibration(
        threshold=_threshold(best, error_rate),
        error_rate=error_rate,
        scores=tuple(knots.tolist()),
        probabilities=tuple(probabilities.tolist()),
        queries=len(scores),
        right=len(best),
        source=source,
    )


def check_rate(error_rate: float) -> None:
    """Raise a ValueError for an error rate that is out of its range."""
    if not 0 < error_rate < 1:
        raise ValueError(
            f"error_rate is {error_rate:g}: it must lie between 0 and 1, such as {ERROR_RATE:g}"
        )


def _threshold(best: np.ndarray, error_rate: float) -> float | None:
    # 0.1 * 30 is a little less than 3 in floating point.
    k = math.floor(error_rate * (len(best) + 1) + 1e-9)
    return float(np.sort(best)[k - 1]) if k else None


def _isotonic(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pooled blocks' ends and their probabilities; 1/2 everywhere without a hit."""
    # Imported here, since it takes half a second and searching doesn't need it.
    from scipy.optimize import isotonic_regression

    if not len(scores):
        return np.array([0.0]), np.array([0.5])
    n_right = np.count_nonzero(right)
    targets = np.where(right, (n_right + 1) / (n_right + 2), 1 / (len(right) - n_right + 2))
    distinct, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(place, targets) / counts  # equal scores get one probability
    found = isotonic_regression(means, weights=counts)
    ends = np.unique([found.blocks[:-1], found.blocks[1:] - 1])
    return distinct[ends], np.clip(found.x[ends], 0, 1)


def file_bytes(calibration: Calibration) -> bytes:
    """Return the bundle's JSON file of the calibration."""
    kept = {**asdict(calibration), "promise": calibration.describe()["promise"]}
    return json.dumps(kept, indent=1).encode()


def read(folder: Path, manifest: dict[str, Any]) -> Calibration | None:
    """Return the calibration in a bundle's folder; None without one.

    Raises:
        BundleError: the file is missing or damaged although the manifest names it.
    """
    if FILE not in manifest["sha256"]:
        return None
    check_file(folder, FILE, manifest)
    try:
        kept = json.loads((folder / FILE).read_text())
        del kept["promise"]
        for name in ("scores", "probabilities"):
            kept[name] = tuple(map(float, kept[name]))
        return Calibration(**kept)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{folder}: {FILE} isn't a calibration that this vsearch can read ({error!r})."
        ) from error
