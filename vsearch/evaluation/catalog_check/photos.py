from collections.abc import Iterator

import pandas as pd

from vsearch.data.catalogs.base import are_files
from vsearch.evaluation.catalog_check.base import Finding, Limits
from vsearch.evaluation.catalog_check.look import Seen


def photo_findings(items: pd.DataFrame, seen: Seen, limits: Limits) -> Iterator[Finding]:
    """Yield what is wrong with single photos: missing, broken, tiny, blank, odd aspect; one photo
    may be several.
    """
    there = are_files(items["path"])
    for row, error in enumerate(seen.error):
        if error is not None:
            yield Finding("broken" if there.iloc[row] else "missing", (row,), None, error)
            continue
        width, height = map(int, seen.size[row])
        short, long = sorted((width, height))
        if short < limits.min_side:
            yield Finding("tiny", (row,), short, f"{width} x {height} pixels")
        if long > limits.max_aspect * short:
            yield Finding(
                "odd-aspect",
                (row,),
                long / short,
                f"{width} x {height} pixels, 1 : {long / short:.1f}",
            )
        spread, plain = float(seen.spread[row]), float(seen.plain[row])
        if spread < limits.min_spread or plain > limits.max_plain:
            yield Finding(
                "blank",
                (row,),
                spread,
                f"{100 * plain:.2f} % one colour, standard deviation {spread:.1f}",
            )
