from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vsearch.data.splits import ColumnSplit, FileSplit, Split
from vsearch.evaluation.catalog_check import copy_groups, item_findings
from vsearch.evaluation.catalog_check.catalog_items import CatalogItems
from vsearch.evaluation.catalog_check.embeddings import embeddings_of
from vsearch.evaluation.catalog_check.findings import Finding, Limits, worst_first
from vsearch.evaluation.catalog_check.near_copies import Pairs, alike_by_hash, alike_by_score
from vsearch.evaluation.catalog_check.neighbours import EXTRA, nearest, without_copies
from vsearch.evaluation.catalog_check.photo_facts import PhotoFacts, read_photo_facts
from vsearch.evaluation.catalog_check.suspects import mislabels, outliers


@dataclass(frozen=True)
class Checked:
    """A catalog and its problems.

    Attributes:
        catalog: the checked catalog; with a split, its items have a column `part`, empty for a
            broken photo.
        limits: beyond them something counts as a finding.
        findings: in the order of KINDS, the worst of each kind first.
        readable: how many photos can be read.
        split: source of the parts.
        embeddings: a line about their source; None without a bundle.
    """

    catalog: CatalogItems
    limits: Limits
    findings: list[Finding]
    readable: int
    split: str | None
    embeddings: str | None


def check(
    catalog: CatalogItems, limits: Limits, split: Path | None = None, bundle: Path | None = None
) -> Checked:
    """Look at every photo of a catalog once and report its problems, with progress bars.

    Args:
        catalog: a column `split` of its items is their split, unless `split` is given.
        limits: beyond them something counts as a finding.
        split: an earlier run's split.csv.
        bundle: a bundle whose network decides which photos look alike.
    """
    items = catalog.items
    parts: Split | None = None
    if split is not None:
        parts = FileSplit(str(split))
    elif "split" in items:
        parts = ColumnSplit()

    facts = read_photo_facts(items)
    readable = facts.readable
    if parts is not None:
        items = items.assign(part="")
        if len(readable):
            items.loc[readable, "part"] = parts.assign(items.iloc[readable])

    exact = copy_groups.exact_groups(facts.content_hash)
    findings = [
        *item_findings.photo_findings(items, facts, limits),
        *item_findings.id_findings(items),
        *item_findings.label_findings(items, readable, limits),
        *copy_groups.group_findings(exact, items, near=False),
    ]
    blank = {finding.rows[0] for finding in findings if finding.kind == "blank"}  # all alike
    contents = copy_groups.by_content(facts.content_hash, blank)
    likeness, embeddings = _likeness_findings(items, facts, contents, limits, bundle)
    return Checked(
        catalog=replace(catalog, items=items),
        limits=limits,
        findings=worst_first([*findings, *likeness]),
        readable=len(readable),
        split=None if parts is None else str(split or "the column 'split'"),
        embeddings=embeddings,
    )


def _likeness_findings(
    items: pd.DataFrame,
    facts: PhotoFacts,
    contents: list[np.ndarray],
    limits: Limits,
    bundle: Path | None,
) -> tuple[list[Finding], str | None]:
    """Compare different photos; also return a line about the source of their embeddings."""
    first = np.array([rows[0] for rows in contents], dtype=np.int64)
    cells = facts.cells[first]
    pairs = alike_by_hash(facts.hashes[first], cells, limits.near, limits.difference)
    findings: list[Finding] = []
    origin = None
    if bundle is not None and len(first):
        vectors, origin = embeddings_of(bundle, items.iloc[first])
        found = nearest(vectors, limits.neighbours + EXTRA)
        by_score = alike_by_score(found, cells, limits.score, limits.score_difference)
        pairs = Pairs.joined([pairs, by_score])
        groups = copy_groups.components(pairs, len(first))
        others = without_copies(found, groups, limits.neighbours)
        labels = items["label"].to_numpy()
        findings += mislabels(others, contents, labels)
        findings += outliers(others, contents, labels, limits)

    near = copy_groups.near_groups(pairs, contents)
    findings += copy_groups.group_findings(near, items, near=True)
    return findings, origin
