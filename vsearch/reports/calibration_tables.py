from vsearch.evaluation.run_report import CalibrationReport
from vsearch.reports.table import Table


def sentences(found: CalibrationReport) -> str:
    """Say what the calibration promises, and how it did on unseen queries."""
    tested = found.measured
    text = (
        f"Learnt from {found.queries:,} {found.source}; {found.right:,} of them find a right item "
        f"first. {found.promise}"
    )
    refused = [
        f"{100 * share:.1f} % of those whose best hit is {kind}"
        for kind, share in (("right", tested.right_refused), ("wrong", tested.wrong_refused))
        if share is not None
    ]
    if refused:
        text += (
            f" Measured on {tested.queries:,} other photos: {' and '.join(refused)} fall below it."
        )

    text += " A hit's probability is that its label is right."
    if tested.expected_calibration_error is not None:
        text += (
            f" Over the {tested.hits:,} hits of the {tested.queries:,} other photos, its expected "
            f"calibration error is {tested.expected_calibration_error:.3f}."
        )
    return text


def reliability(found: CalibrationReport) -> Table:
    """Return predicted probabilities beside the measured shares of right hits."""
    rows = [
        [f"{own.hits:,}", f"{own.probability:.3f}", f"{own.right:.3f}"]
        for own in found.measured.bins
    ]
    return Table(["hits", "mean probability", "share right"], rows)
