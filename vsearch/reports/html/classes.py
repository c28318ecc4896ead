from collections import Counter

from vsearch.reports.html.base import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos

MOST = 1000  # rows: more than that nobody reads, and the file has to stay small


def section(findings: Findings, photos: Photos) -> Section:
    """Return the table of labels: how many photos, how good, and what they are most often taken
    for.
    """
    rows = findings.report["per_class"]
    if not rows:
        raise LeftOutError("No label was measured.")
    sizes = findings.items["label"].value_counts()
    taken: dict[str, Counter[str]] = {}
    for label, found in zip(findings.queries["label"], findings.hit_labels, strict=True):
        if len(found) and found[0] != label:
            taken.setdefault(label, Counter())[found[0]] += 1
    table = [
        {**row, "gallery": int(sizes.get(row["label"], 0)), "taken": _most(taken.get(row["label"]))}
        for row in rows[:MOST]
    ]
    return Section({"rows": table, "left": len(rows) - len(table)})


def _most(counts: Counter[str] | None) -> str:
    if not counts:
        return ""
    label, n = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return f"{label} ({n})"
