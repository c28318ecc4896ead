from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from vsearch.evaluation.comparing.paired_bootstrap import paired_bootstrap
from vsearch.evaluation.metrics import summarise
from vsearch.evaluation.scoring import Scores

Rows = list[list[str]]
LABELS = ("precision_at_1", "precision_at_10", "cmc_at_10", "map_at_r")
MIB = 2**20


def label_quality(served: Scores, exact: Scores | None) -> dict[str, Any]:
    """Tell the model's errors from the index's: label metrics by exact search and by the index that
    is served.

    Args:
        served: what the queries got by the index.
        exact: what the same queries got by exact search; None: the index is exact, and there is no
            difference.

    Returns:
        {metric: {exact, served: {value, low, high}, difference: {value, low, high, p_value}}},
        means over queries, with 95 % intervals; the difference is paired by query; None where the
        index is exact.
    """
    values = {name: served.model[name] for name in LABELS}
    if exact is None:
        found = summarise(values, served.labels)
        alike = {name: asdict(kinds["micro"]) for name, kinds in found.items()}
        return {
            name: {"exact": one, "served": one, "difference": None} for name, one in alike.items()
        }
    base = {name: exact.model[name] for name in LABELS}
    ours, theirs = summarise(values, served.labels), summarise(base, served.labels)
    differences = paired_bootstrap(values, base, served.labels)
    return {
        name: {
            "exact": asdict(theirs[name]["micro"]),
            "served": asdict(ours[name]["micro"]),
            "difference": asdict(differences[name]["micro"]),
        }
        for name in LABELS
    }


def index_facts(index: dict[str, Any]) -> Rows:
    """Return pairs of what the index is and how good, for people."""
    latency = index["latency"]
    size, threads, each = (
        latency["batch_size"],
        latency["threads"],
        index["bytes"] / index["vectors"],
    )
    recalls = ", ".join(f"@{k} {index[f'recall_at_{k}']:.4f}" for k in (1, 10, 100))
    chosen = "chosen and built" if index.get("frontier") else "built"
    memory = (
        ""
        if index["memory_bytes"] is None
        else f", {index['memory_bytes'] / MIB:,.1f} MiB in memory"
    )
    rows = [
        ["index", f"{index['spec']}, {chosen} in {index['build_s']:.2f} s"],
        ["size", f"{index['bytes'] / MIB:,.1f} MiB on the disk{memory}; {each:,.0f} bytes an item"],
        ["index recall", f"{recalls} of what exact search finds"],
        [
            "one search, index alone",
            f"p50 {latency['single_p50_ms']:.2f} ms, p99 {latency['single_p99_ms']:.2f} ms "
            f"({threads} threads)",
        ],
        [
            f"{size} at once",
            f"p50 {latency['batch_p50_ms']:.2f} ms, p99 {latency['batch_p99_ms']:.2f} ms",
        ],
    ]
    return [*rows, ["why this index", index["why"]]] if index.get("why") else rows


def index_sections(index: dict[str, Any]) -> Iterator[tuple[str, list[str], Rows]]:
    """Yield a text, and the header and rows of the table under it, for each thing that was measured
    of the index.
    """
    yield (
        "Label quality by exact search, which is the model's own, and by the index that is "
        "served; the difference is the index's doing (paired by query, 95 % "
        f"intervals).{_same(index)}",
        ["metric", "exact search", "served index", "difference"],
        [
            [
                name,
                _interval(found["exact"]),
                _interval(found["served"]),
                _change(found["difference"]),
            ]
            for name, found in index["labels"].items()
        ],
    )
    yield (
        "Milliseconds a call of the index alone, for several queries at once and several threads; "
        "with few calls, the 99th percentile says little.",
        ["queries", "threads", "calls", "p50 ms", "p99 ms", "queries/s"],
        [
            [
                *(str(row[name]) for name in ("batch", "threads", "calls")),
                *(f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms")),
                f"{1000 * row['batch'] / row['p50_ms']:,.0f}",
            ]
            for row in index["latency"]["table"]
        ],
    )
    if index.get("frontier"):
        yield (
            index["why"] + _trial(index),
            _FRONTIER,
            [_candidate(row) for row in index["frontier"]],
        )


_FRONTIER = [
    "index",
    "recall@10",
    "ms",
    "ms a query in batches",
    "MiB",
    "trial built in s",
    "within budget",
    "Pareto",
]


def _candidate(row: dict[str, Any]) -> list[str]:
    return [
        f"**{row['spec']}**" if row["chosen"] else row["spec"],
        f"{row['recall_at_10']:.4f}",
        f"{row['single_ms']:.3f}",
        f"{row['batch_ms']:.3f}",
        f"{row['memory_bytes'] / MIB:,.1f}",
        f"{row['build_s']:.1f}",
        "yes" if row["within_budget"] else "no",
        "yes" if row["pareto"] else "",
    ]


def _trial(index: dict[str, Any]) -> str:
    trial = index.get("trial")
    if not trial:
        return ""
    scaled = (
        " Times and bytes are brought to all."
        if trial["vectors"] + trial["queries"] < index["vectors"]
        else ""
    )
    return f" Tried with {trial['queries']:,} held-out vectors among {trial['vectors']:,} others.{scaled}"


def _same(index: dict[str, Any]) -> str:
    return " This index is exact: there is none." if index["exact"] else ""


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _change(found: dict[str, float] | None) -> str:
    return (
        "0"
        if found is None
        else f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    )
