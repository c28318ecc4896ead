from collections.abc import Iterator

import numpy as np
import pandas as pd

from vsearch.data.catalogs.base import are_files
from vsearch.evaluation.catalog_check.findings import Finding, Limits
from vsearch.evaluation.catalog_check.photo_facts import PhotoFacts


def photo_findings(items: pd.DataFrame, facts: PhotoFacts, limits: Limits) -> Iterator[Finding]:
    """Yield problems of single photos: missing, broken, tiny, blank, odd aspect."""
    there = are_files(items["path"]).tolist()
    for row, error in enumerate(facts.error):
        if error is not None:
            yield Finding("broken" if there[row] else "missing", (row,), None, error)
            continue

        width, height = map(int, facts.size[row])
        short, long = sorted((width, height))
        size = f"{width} x {height} pixels"
        if short < limits.min_side:
            yield Finding("tiny", (row,), short, size)
        if long > limits.max_aspect * short:
            yield Finding("odd-aspect", (row,), long / short, f"{size}, 1 : {long / short:.1f}")

        spread = float(facts.spread[row])
        plain = float(facts.plain[row])
        if spread < limits.min_spread or plain > limits.max_plain:
            text = f"{100 * plain:.2f} % one colour, standard deviation {spread:.1f}"
            yield Finding("blank", (row,), spread, text)


def id_findings(items: pd.DataFrame) -> Iterator[Finding]:
    """Yield the ids that several items share."""
    for id, rows in items.groupby("id").indices.items():
        if len(rows) > 1:
            text = f"{len(rows)} items have the id {id!r}"
            yield Finding("repeated-id", tuple(map(int, rows)), len(rows), text)


def label_findings(items: pd.DataFrame, readable: np.ndarray, limits: Limits) -> Iterator[Finding]:
    """Yield the labels that have too few readable photos; `readable`: int (m,), rows."""
    for label, rows in items.groupby("label").indices.items():
        count = int(np.isin(rows, readable).sum())
        if count < limits.min_images:
            text = f"{label!r} has {count}, but needs {limits.min_images}"
            yield Finding("few", tuple(map(int, rows)), count, text)
