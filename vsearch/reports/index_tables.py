from collections.abc import Iterator
from dataclasses import dataclass

from vsearch.evaluation.run_report import Candidate, IndexReport
from vsearch.reports.metric_names import metric_name
from vsearch.reports.table import Table, interval

MIB = 2**20


@dataclass(frozen=True)
class IndexSection:
    """A measurement of the index: a text, and the table below it."""

    text: str
    table: Table


def index_facts(index: IndexReport) -> list[list[str]]:
    """Return facts and quality of the index, for people, as pairs."""
    latency = index.latency
    chosen = "chosen and built" if index.frontier else "built"
    size = f"{index.bytes / MIB:,.1f} MiB on disk"
    if index.memory_bytes is not None:
        size += f", {index.memory_bytes / MIB:,.1f} MiB in memory"

    rows = [
        ["index", f"{index.spec}, {chosen} in {index.build_s:.2f} s"],
        ["size", f"{size}; {index.bytes / index.vectors:,.0f} bytes per item"],
        [
            "index recall",
            f"@1 {index.recall_at_1:.4f}, @10 {index.recall_at_10:.4f}, "
            f"@100 {index.recall_at_100:.4f} of what exact search finds",
        ],
        [
            "one search, index alone",
            f"p50 {latency.single_p50_ms:.2f} ms, p99 {latency.single_p99_ms:.2f} ms "
            f"({latency.threads} threads)",
        ],
        [
            f"{latency.batch_size} at once",
            f"p50 {latency.batch_p50_ms:.2f} ms, p99 {latency.batch_p99_ms:.2f} ms",
        ],
    ]
    if index.why:
        rows.append(["why this index", index.why])
    return rows


def index_sections(index: IndexReport) -> Iterator[IndexSection]:
    """Yield a text and a table for each measurement of the index."""
    same = " This index is exact: there is no difference." if index.exact else ""
    yield IndexSection(
        "Label quality with exact search, which shows the model alone, and with the served index. "
        f"The difference is the index's loss (paired by query, 95 % intervals).{same}",
        _label_quality(index),
    )
    yield IndexSection(
        "Milliseconds per call of the index alone, for several queries at once and several "
        "threads. With few calls, the 99th percentile says little.",
        _timings(index),
    )
    if index.frontier:
        yield IndexSection(f"{index.why}{_trial(index)}", _candidates(index.frontier))


def _label_quality(index: IndexReport) -> Table:
    rows = []
    for metric, found in index.labels.items():
        change = "0" if found.difference is None else interval(found.difference, "+.4f")
        rows.append([metric_name(metric), interval(found.exact), interval(found.served), change])
    return Table(["metric", "exact search", "served index", "difference"], rows)


def _timings(index: IndexReport) -> Table:
    rows = [
        [
            str(row.batch),
            str(row.threads),
            str(row.calls),
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{1000 * row.batch / row.p50_ms:,.0f}",
        ]
        for row in index.latency.table
    ]
    return Table(["queries", "threads", "calls", "p50 ms", "p99 ms", "queries/s"], rows)


def _candidates(candidates: list[Candidate]) -> Table:
    lost = [f"{metric} lost" for metric in candidates[0].losses]
    rows = [
        [
            f"**{row.spec}**" if row.chosen else row.spec,
            f"{row.recall_at_10:.4f}",
            *[interval(loss, ".4f") for loss in row.losses.values()],
            f"{row.single_ms:.3f}",
            f"{row.batch_ms:.3f}",
            f"{row.memory_bytes / MIB:,.1f}",
            f"{row.build_s:.1f}",
            "yes" if row.within_budget else "no",
            "yes" if row.pareto else "",
        ]
        for row in candidates
    ]
    measures = ["recall@10", *lost, "ms", "ms per query in batches", "MiB", "trial built in s"]
    return Table(["index", *measures, "within budget", "Pareto"], rows)


def _trial(index: IndexReport) -> str:
    trial = index.trial
    if trial is None:
        return ""
    text = f" Tried with {trial.queries:,} held-out vectors among {trial.vectors:,} others."
    if trial.vectors + trial.queries < index.vectors:
        text += " Times and bytes of what wasn't built from all vectors are scaled up."
    return text
