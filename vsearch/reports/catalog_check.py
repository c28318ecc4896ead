from collections import Counter
from dataclasses import asdict
from typing import Any

import pandas as pd

from vsearch.evaluation.catalog_check.check import Checked
from vsearch.evaluation.catalog_check.findings import KINDS, Finding

SCHEMA = 1
ITEM = ["id", "path", "label"]


def report(checked: Checked) -> dict[str, Any]:
    """Return all findings as plain JSON values: counts by kind, then the findings, worst first."""
    items = checked.catalog.items
    return {
        "schema": SCHEMA,
        "catalog": checked.catalog.name,
        "items": len(items),
        "labels": int(items["label"].nunique()),
        "readable": checked.readable,
        "left_out": checked.catalog.left_out,
        "split": checked.split,
        "embeddings": checked.embeddings,
        "limits": asdict(checked.limits),
        "kinds": _kinds(checked),
        "findings": [_finding(finding, items) for finding in checked.findings],
    }


def _kinds(checked: Checked) -> dict[str, dict[str, Any]]:
    counts = Counter(finding.kind for finding in checked.findings)
    photos: dict[str, set[int]] = {name: set() for name in KINDS}
    for finding in checked.findings:
        photos[finding.kind].update(finding.rows)
    skipped = {"leak", "near-leak"} if checked.split is None else set()
    skipped |= {"mislabel", "outlier"} if checked.embeddings is None else set()
    return {
        name: {
            "checked": name not in skipped,
            "findings": counts[name],
            "photos": len(photos[name]),
            "meaning": kind.meaning,
            "advice": kind.advice,
        }
        for name, kind in KINDS.items()
    }


def _finding(finding: Finding, items: pd.DataFrame) -> dict[str, Any]:
    columns = [*ITEM, "part"] if "part" in items else ITEM
    entry: dict[str, Any] = {"kind": finding.kind, "value": finding.value, "text": finding.text}
    entry["items"] = items.iloc[[*finding.rows]][columns].to_dict("records")
    if finding.others:
        entry["neighbours"] = items.iloc[[*finding.others]][columns].to_dict("records")
    return entry
