from typing import Any

Rows = list[list[str]]


def sentences(found: dict[str, Any]) -> str:
    """Return in words what the calibration promises, and how it did on queries that it hasn't seen."""
    tested, error = found["measured"], found["measured"]["expected_calibration_error"]
    text = f"Learnt from {found['source']} ({found['queries']:,}, {found['right']:,} of them right first). "
    text += found["promise"]
    refused = [
        f"{100 * tested[name]:.1f} % of those whose best hit is {kind}"
        for name, kind in (("right_refused", "right"), ("wrong_refused", "wrong"))
        if tested[name] is not None
    ]
    if refused:
        text += f" Measured on {tested['queries']:,} other photos: {' and '.join(refused)} fall below it."
    text += " A hit's probability is that of its label being right."
    if error is not None:
        text += f" Over the {tested['hits']:,} hits of the {tested['queries']:,} other photos its expected calibration "
        text += f"error is {error:.3f}."
    return text


def bins(found: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the reliability table: said beside what came true."""
    rows = [
        [f"{row['hits']:,}", f"{row['probability']:.3f}", f"{row['right']:.3f}"]
        for row in found["measured"]["bins"]
    ]
    return ["hits", "mean probability", "share right"], rows
