import json
from io import BytesIO
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from vsearch.evaluation.comparing.comparison import FEW
from vsearch.evaluation.metrics import which_mean
from vsearch.reports.intervals import Interval, chart
from vsearch.reports.tables import Rows, markdown_table

LEVEL = 0.05
SHOWN = {"precision_at_1": "micro", "map_at_r": "micro", "precision_at_1, macro": "macro"}
COLOURS = {"baseline": "#0f172a", "better": "#16a34a", "worse": "#dc2626"}  # the rest is grey
CHART = "Black: the baseline; green and red: the verdicts better and worse.\n\n![chart](study.png)"
READ = (
    "Ranked by the test photos themselves: choosing a cell by them is optimistic. Confirm the "
    "choice elsewhere: on another split or later photos. What a cell doesn't change was tuned for "
    "the baseline, if for any: that favours it."
)
IN_A_LINE = (
    "Spread: standard deviation over seeds. p: how easily other queries and other seeds would have "
    "turned the difference's sign. A verdict needs p below 0.05 after Holm's correction for the "
    "number of cells, and two seeds."
)
METHOD = (
    "Spread: standard deviation over seeds, - for one seed. Difference: each query's mean over "
    "seeds minus the baseline's, with a 95 % interval and p-value: queries are drawn anew (paired "
    "bootstrap), and the standard error over seeds is added with Student's t. So n seeds count as "
    "n, however many queries there are: two show only what is large, and three are still few. With "
    "one seed, what another would give is unknown: interval and p are of the queries alone, and "
    "there is no verdict. Where an interval includes 0, no difference is shown."
)
COST = {
    "trained_parameters": ("trained parameters", ",.0f"),
    "best_epoch": ("best epoch, from 0", ".1f"),
    "epoch_s": ("s an epoch", ".1f"),
    "embed_photos_per_s": ("photos embedded/s", ",.0f"),
    "bytes_per_vector": ("bytes a vector", ",.0f"),
}


def study_files(result: dict[str, Any]) -> dict[str, bytes]:
    """Return study.md, study.json and study.png of what `ranking.rank` found, as file contents by
    name.
    """
    files = {
        "study.md": markdown(result).encode(),
        "study.json": json.dumps(result, indent=2).encode(),
    }
    measured = [cell for cell in result["cells"] if cell["estimate"]]
    if measured:
        png = BytesIO()
        rows = [
            Interval(cell["cell"], **cell["estimate"], colour=_colour(result, cell))
            for cell in measured
        ]
        title = (
            f"{result['rank_by']}, 95 % intervals over {result['queries']:,} queries and the seeds"
        )
        chart(title, rows).save(png, "PNG")
        files["study.png"] = png.getvalue()
    return files


def markdown(result: dict[str, Any]) -> str:
    """Return the study as Markdown."""
    compared = sum(cell["difference"] is not None for cell in result["cells"])
    lines = [
        f"# Study: {result['name']}",
        f"```text\n{result['question'] or '-'}\n```",
        _scope(result),
        READ,
    ]
    for title, (header, rows) in tables(result).items():
        lines += [f"## {title}", markdown_table(header, rows)]
    lines += [
        f"{METHOD} p (Holm) is corrected for the number of cells compared ({compared}), the "
        "intervals are not.",
        *([CHART] if any(cell["estimate"] for cell in result["cells"]) else []),
        "",
    ]
    return "\n\n".join(lines)


def tables(result: dict[str, Any]) -> dict[str, tuple[list[str], Rows]]:
    """Return the header and rows of each table, by title; cells in the order of `result`."""
    cells = result["cells"]
    difference = f"difference from {result['baseline']}"
    return {
        "Ranking": (
            [
                "rank",
                "cell",
                "seeds",
                f"{result['rank_by']} ± spread",
                difference,
                "p",
                "p (Holm)",
                "verdict",
            ],
            [
                [_place(place, cell), *_ranked(result, cell)]
                for place, cell in enumerate(cells, start=1)
            ],
        ),
        "Metrics": (
            ["cell", *(title for name in SHOWN for title in (f"{name} ± spread", "untrained"))],
            [[cell["cell"], *_metrics(cell)] for cell in cells],
        ),
        "Cost": (
            ["cell", "started from", *(title for title, _ in COST.values())],
            [[cell["cell"], ", ".join(cell["origins"]) or "-", *_cost(cell)] for cell in cells],
        ),
    }


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the tables, and how to read them."""
    console = console or Console(markup=False)
    console.print(f"{_scope(result)}\n{READ}\n{IN_A_LINE}")
    for title, (header, rows) in tables(result).items():
        table = Table(
            *(Column(name, overflow="fold") for name in header), title=title, title_justify="left"
        )
        for row in rows:
            table.add_row(*row)
        console.print(table)


def verdict(result: dict[str, Any], cell: dict[str, Any]) -> str:
    """Say in words how a cell compares with the baseline; better or worse only if other seeds would
    say so too.
    """
    if cell["cell"] == result["baseline"]:
        return "baseline"
    found = cell["difference"]
    if found is None:
        return "-"
    if found["low"] <= 0 <= found["high"]:
        return "no difference shown"
    word = "better" if found["value"] > 0 else "worse"
    if found["holm_p_value"] >= LEVEL:
        return f"{word}, but not after Holm's correction"
    return word if found["seeds"] > 1 else f"{word} with this seed alone"


def _scope(result: dict[str, Any]) -> str:
    drawn = " The photos are SYNTHETIC, drawn by vsearch." if result["synthetic"] else ""
    seeds = ", ".join(map(str, result["seeds"]))
    few = " So few queries make the intervals too narrow." if result["queries"] < FEW else ""
    single = f" {result['single_query_labels']} of {result['labels']} labels have a single query, which adds nothing"
    alone = f"{single} to a macro interval." if result["single_query_labels"] else ""
    best = (
        f"by {result['monitor']}"
        if result["monitor"]
        else "by its own callbacks, maybe by another metric"
    )
    return (
        f"{result['queries']:,} queries, the same for every cell; seeds {seeds}. Best epoch of "
        f"each cell: {best}.{drawn}{few}{alone}"
    )


def _place(number: int, cell: dict[str, Any]) -> str:
    return str(number) if cell["estimate"] else "-"


def _ranked(result: dict[str, Any], cell: dict[str, Any]) -> list[str]:
    done = f"{len(cell['seeds'])} of {len(result['seeds'])}"
    seeds = f"{done}, failed: {', '.join(map(str, cell['failed']))}" if cell["failed"] else done
    metric, kind = which_mean(result["rank_by"])
    mean, found = _spread(cell["metrics"].get(metric, {}).get(kind, {})), cell["difference"]
    if found is None:
        return [cell["cell"], seeds, mean, "-", "-", "-", verdict(result, cell)]
    change = f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
    p_values = [_number(found[name], ".4f") for name in ("p_value", "holm_p_value")]
    return [cell["cell"], seeds, mean, change, *p_values, verdict(result, cell)]


def _metrics(cell: dict[str, Any]) -> list[str]:
    found = [
        cell["metrics"].get(name.split(",")[0], {}).get(kind, {}) for name, kind in SHOWN.items()
    ]
    return [
        text for values in found for text in (_spread(values), _number(values.get("untrained")))
    ]


def _spread(values: dict[str, Any]) -> str:
    return f"{values['mean']:.3f} ± {_number(values['sd'])}" if values else "-"


def _cost(cell: dict[str, Any]) -> list[str]:
    return [_number(cell["cost"].get(name), to) for name, (_, to) in COST.items()]


def _number(value: float | None, to: str = ".3f") -> str:
    return "-" if value is None else format(value, to)


def _colour(result: dict[str, Any], cell: dict[str, Any]) -> str:
    return COLOURS.get(verdict(result, cell), "#64748b")
