from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vsearch.data.splits import ColumnSplit, FileSplit, Split
from vsearch.evaluation.catalog_check.base import KINDS, Finding, Limits
from vsearch.evaluation.catalog_check.embeddings import embeddings_of
from vsearch.evaluation.catalog_check.groups import (
    Pairs,
    by_content,
    components,
    exact_groups,
    group_findings,
    near_groups,
)
from vsearch.evaluation.catalog_check.labels import id_findings, label_findings
from vsearch.evaluation.catalog_check.look import look
from vsearch.evaluation.catalog_check.near import alike_by_hash
from vsearch.evaluation.catalog_check.neighbours import (
    EXTRA,
    alike_by_score,
    nearest,
    without_copies,
)
from vsearch.evaluation.catalog_check.photos import photo_findings
from vsearch.evaluation.catalog_check.source import Source
from vsearch.evaluation.catalog_check.suspects import mislabels, outliers


@dataclass(frozen=True)
class Checked:
    """A catalog and what is wrong with it.

    Attributes:
        source: what was checked; `items` have a column `part`, empty for a broken photo, if there
            is a split.
        limits: from where on something is wrong.
        findings: kind after kind in the order of KINDS, the worst of a kind first.
        readable: how many photos can be read.
        split: where the parts are from; None without a split.
        embeddings: a line on where they are from; None without a bundle.
    """

    source: Source
    limits: Limits
    findings: list[Finding]
    readable: int
    split: str | None
    embeddings: str | None


def check(
    source: Source, limits: Limits, split: Path | None = None, bundle: Path | None = None
) -> Checked:
    """Look at every photo of a catalog once, and say what is wrong with it; with progress bars.

    Args:
        source: the items; a column `split` of theirs is their split, unless there is another.
        limits: from where on something is a finding.
        split: an earlier run's split.csv.
        bundle: a bundle whose network says which photos look alike.

    Raises:
        SplitError: the split lacks items, or has parts of unknown names.
        BundleError: the bundle can't be used.
    """
    parts = _split(source.items, split)
    seen = look(source.items)
    items, good = source.items, seen.good
    if parts is not None:
        items = items.assign(part="")
        items.loc[good, "part"] = parts[0].assign(items.iloc[good]) if len(good) else ""
    findings = [
        *photo_findings(items, seen, limits),
        *id_findings(items),
        *label_findings(items, good, limits),
    ]
    findings += group_findings(exact_groups(seen.content_hash), items, near=False)
    blank = {
        finding.rows[0] for finding in findings if finding.kind == "blank"
    }  # they are all alike
    contents = by_content(seen.content_hash, blank)
    first = np.array([rows[0] for rows in contents], dtype=np.int64)
    pairs = alike_by_hash(seen.hashes[first], seen.cells[first], limits.near, limits.difference)
    line, suspects = None, []
    if bundle is not None and len(first):
        vectors, line = embeddings_of(bundle, items.iloc[first])
        found = nearest(vectors, limits.neighbours + EXTRA)
        pairs = Pairs.joined(
            [pairs, alike_by_score(found, seen.cells[first], limits.score, limits.score_difference)]
        )
        others = without_copies(found, components(pairs, len(first)), limits.neighbours)
        labels = items["label"].to_numpy()
        suspects = [
            *mislabels(others, contents, labels),
            *outliers(others, contents, labels, limits),
        ]
    findings += [*group_findings(near_groups(pairs, contents), items, near=True), *suspects]
    checked = Source(source.name, items, source.left_out)
    return Checked(
        checked, limits, ordered(findings), len(good), None if parts is None else parts[1], line
    )


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings kind after kind, as KINDS has them, the worst of a kind first."""
    names = [*KINDS]

    def place(finding: Finding) -> tuple[int, float, tuple[int, ...]]:
        value = finding.value or 0.0
        return (
            names.index(finding.kind),
            value if KINDS[finding.kind].low_is_worse else -value,
            finding.rows,
        )

    return sorted(findings, key=place)


def _split(items: pd.DataFrame, file: Path | None) -> tuple[Split, str] | None:
    if file is not None:
        return FileSplit(str(file)), str(file)
    return (ColumnSplit(), "the column 'split'") if "split" in items else None
