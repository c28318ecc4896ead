from typing import Any

from rich.console import Console
from rich.table import Table

from vsearch.reports.calibration_tables import bins, sentences
from vsearch.reports.index_tables import index_facts, index_sections

Rows = list[list[str]]


def headline(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the main table: each metric after and before training, and by
    chance.
    """
    metrics = report["metrics"]
    columns = [name for name in ("trained", "untrained") if name in metrics]
    header, rows = ["metric"], [[metric] for metric in metrics["trained"]]
    for kind in ("micro", "macro"):
        header += [*(f"{name} ({kind})" for name in columns), f"chance ({kind})"]
        for row in rows:
            row += [_interval(metrics[name][row[0]][kind]) for name in columns]
            row.append(f"{metrics['chance'][row[0]][kind]:.3f}")
    return header, rows


def per_class(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of classes."""
    names = ("precision_at_1", "precision_at_1_chance", "precision_at_10", "map_at_r", "ndcg_at_10")
    rows = [
        [row["label"], str(row["queries"]), *(f"{row[name]:.3f}" for name in names)]
        for row in report["per_class"]
    ]
    return ["label", "queries", *names], rows


def axes(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of other axes: a row for each axis and metric, then
    graded relevance.
    """
    groups = {name: axis["metrics"] for name, axis in report["axes"].items()}
    groups["(graded)"] = {"ndcg_at_10": report["graded"]["ndcg_at_10"]}
    rows = [
        [name, metric, _interval(found["trained"]), _untrained(found), f"{found['chance']:.3f}"]
        for name, metrics in groups.items()
        for metric, found in metrics.items()
    ]
    return ["axis", "metric", "trained", "untrained", "chance"], rows


def axis_counts(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of the table of what each axis was measured on."""
    names = ("values", "queries", "missing", "unanswerable")
    rows = [
        [column, *(f"{axis[name]:,}" for name in names)] for column, axis in report["axes"].items()
    ]
    return ["axis", "values", "queries", "without a value", "without an answer"], rows


def facts(report: dict[str, Any]) -> Rows:
    """Return pairs of what was measured and how, for people."""
    protocol, model = report["protocol"], report["model"]
    kind = " (SYNTHETIC photos, drawn by vsearch)" if protocol["synthetic"] else ""
    parts = ", ".join(
        f"{part} {protocol['parts'].get(part, 0):,}" for part in ("train", "val", "test")
    )
    left_out, measured_on_val = protocol["unanswerable_queries"], protocol["measured_on"] == "val"
    seeds = ", ".join(f"{name} {seed}" for name, seed in protocol["seeds"].items())
    return [
        [
            "catalog",
            f"{protocol['catalog']}{kind}: {protocol['items']:,} items, {protocol['labels']} "
            "labels",
        ],
        [
            "split",
            f"{protocol['split']}: {parts}; {protocol['skipped_photos']} broken photos skipped",
        ],
        [
            "search",
            f"{protocol['queries']:,} {protocol['measured_on']} photos ({left_out} without an "
            f"answer left out) search {protocol['gallery']:,} "
            f"items{'; val chose the epoch: optimistic' if measured_on_val else ''}",
        ],
        [
            "model",
            f"{model['class_path'].rpartition('.')[2]}, {model['dim']}-d, epoch {model['epoch']}; "
            f"seeds: {seeds}",
        ],
        ["started from", f"{model['origin']} weights{_missing(model)}"],
        *index_facts(report["index"]),
        *_leakage(report),
    ]


def _leakage(report: dict[str, Any]) -> Rows:
    """Return a line that sets what a random split would have claimed beside what was measured."""
    found = report.get("leakage")
    if not found:
        return []
    naive, clean = (found[f"{kind}_precision_at_1"] for kind in ("naive", "clean"))
    before = f" (untrained {naive['untrained']:.3f})" if "untrained" in naive else ""
    kept = found["queries_with_copies_in_gallery"]
    there = f"; the copies of {kept:,} are in the gallery even so" if kept else ""
    return [
        [
            "random split",
            f"would have claimed precision@1 {naive['trained']:.3f}{before} instead of "
            f"{clean['trained']:.3f}: {found['queries_with_copies']:,} of these photos have an "
            f"exact copy{there}",
        ]
    ]


def _missing(model: dict[str, Any]) -> str:
    return f" ({model['wanted']} could not be downloaded)" if model.get("wanted") else ""


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    others = _markdown_axes(report) if report.get("axes") else []
    return "\n\n".join(
        [
            "# Retrieval report",
            markdown_table(["what", "value"], facts(report)),
            "## Metrics",
            "With 95 % bootstrap intervals: over queries for micro (the mean over queries), "
            f"within labels for macro (the mean over labels; {_single(report)}).",
            markdown_table(*headline(report)),
            *others,
            "## Index",
            *_markdown_index(report),
            *_markdown_calibration(report),
            "## Labels",
            markdown_table(*per_class(report)),
            "",
        ]
    )


def _single(report: dict[str, Any]) -> str:
    alone, labels = (
        sum(row["queries"] == 1 for row in report["per_class"]),
        len(report["per_class"]),
    )
    return f"{alone} of {labels} labels have a single query, which adds nothing to the interval"


def _markdown_index(report: dict[str, Any]) -> list[str]:
    parts = []
    for text, header, rows in index_sections(report["index"]):
        parts += [text, markdown_table(header, rows)]
    return [*parts, "![frontier](frontier.png)"] if report["index"].get("frontier") else parts


def _markdown_calibration(report: dict[str, Any]) -> list[str]:
    found = report.get("calibration")
    return ["## Calibration", sentences(found), markdown_table(*bins(found))] if found else []


def _markdown_axes(report: dict[str, Any]) -> list[str]:
    return [
        "## Other axes",
        "The same searches, with an item counted as right if it has the query's value of the "
        "axis; over queries, with 95 % bootstrap intervals. Graded: an item counts as much as the "
        "share of these in which it equals the query: "
        f"{', '.join(report['graded']['attributes'])}. A missing value equals nothing.",
        markdown_table(*axis_counts(report)),
        markdown_table(*axes(report)),
    ]


def brief(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of a table narrow enough for a terminal: intervals for the trained
    model only.
    """
    metrics = report["metrics"]
    header = ["metric", "trained", "untrained", "chance", "trained, macro"]
    rows = []
    for metric, kinds in metrics["trained"].items():
        before = _untrained({side: found[metric]["micro"] for side, found in metrics.items()})
        chance, macro = metrics["chance"][metric]["micro"], kinds["macro"]["value"]
        rows.append([metric, _interval(kinds["micro"]), before, f"{chance:.3f}", f"{macro:.3f}"])
    return header, rows


def brief_axes(report: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the header and rows of `axes` that a terminal shows."""
    header, rows = axes(report)
    return header, [
        row
        for row in rows
        if row[1] in ("precision_at_1", "precision_at_10") or row[0] == "(graded)"
    ]


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the facts and the narrow tables."""
    console = console or Console()
    tables = {"Measured": (["what", "value"], facts(report)), "Retrieval": brief(report)}
    if report.get("axes"):
        tables["Other axes"] = brief_axes(report)
    for title, (columns, lines) in tables.items():
        table = Table(*columns, title=title, title_justify="left")
        for line in lines:
            table.add_row(*line)
        console.print(table)


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _untrained(sides: dict[str, Any]) -> str:
    return f"{sides['untrained']['value']:.3f}" if "untrained" in sides else "-"


def markdown_table(header: list[str], rows: Rows) -> str:
    """Return a table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
