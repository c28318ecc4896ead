from typing import Any

import numpy as np

from vsearch.evaluation.calibration import Calibration

BINS = 10


def measured(calibration: Calibration, scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Measure a calibration on unseen queries, as plain JSON values.

    Args:
        calibration: fit on other queries.
        scores, right: of these queries' hits, as for `calibration.fit`.

    Returns:
        The arguments of `run_report.Reliability`. `right_refused` and `wrong_refused` are the
        shares of queries with a right and with a wrong best hit that the threshold refuses; None
        without a threshold or such queries.
    """
    there = ~np.isnan(scores)
    first = right[:, 0] & there[:, 0]

    def refused(among: np.ndarray) -> float | None:
        if calibration.threshold is None or not among.any():
            return None
        return float((~(scores[among, 0] >= calibration.threshold)).mean())

    return {
        "queries": len(scores),
        "right": int(np.count_nonzero(first)),
        "right_refused": refused(first),
        "wrong_refused": refused(~first),
        **reliability(calibration.probability(scores[there]), right[there]),
    }


def reliability(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Compare probabilities, float (n,), with outcomes, bool (n,), as plain JSON values.

    `expected_calibration_error` is the mean distance, 0..1, between probability and share of right
    hits in ten bins of equal width, weighted by their hits (Naeini et al. 2015, "Obtaining
    Well Calibrated Probabilities Using Bayesian Binning"; Guo et al. 2017, "On Calibration of
    Modern Neural Networks"), None without hits. `bins` omits those without hits.
    """
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    bins = []
    gaps = 0.0
    for place in np.unique(places):
        own = places == place
        hits = int(np.count_nonzero(own))
        probability = float(probabilities[own].mean())
        share = float(right[own].mean())
        bins.append({"hits": hits, "probability": probability, "right": share})
        gaps += hits * abs(probability - share)
    error = gaps / len(right) if bins else None
    return {"hits": len(right), "expected_calibration_error": error, "bins": bins}
