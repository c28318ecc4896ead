from collections import Counter, defaultdict

from vsearch.reports.html.findings import Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos

MOST = 1000  # rows: nobody reads more, and the file must stay small


def section(findings: Findings, photos: Photos) -> Section:
    """Return each label's number of photos, metrics, and most frequent wrong label."""
    rows = findings.report.per_class
    if not rows:
        raise LeftOutError("No label was measured.")

    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for label, found in zip(findings.queries["label"], findings.hit_labels, strict=True):
        if len(found) and found[0] != label:
            taken[label][found[0]] += 1

    sizes = findings.items["label"].value_counts()
    table = [
        {**row, "gallery": int(sizes.get(row["label"], 0)), "taken": _most(taken[row["label"]])}
        for row in rows[:MOST]
    ]
    return Section({"rows": table, "left": len(rows) - len(table)})


def _most(counts: Counter[str]) -> str:
    if not counts:
        return ""
    label, n = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return f"{label} ({n})"
