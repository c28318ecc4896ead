import json
from typing import Any

from rich.console import Console

from vsearch.evaluation.comparing.comparison import FEW
from vsearch.evaluation.comparing.paired_bootstrap import Difference
from vsearch.evaluation.metrics import which_mean
from vsearch.reports.intervals import Interval, chart
from vsearch.reports.metric_names import metric_name
from vsearch.reports.pictures import png
from vsearch.reports.table import Table, interval

LEVEL = 0.05
SHOWN = ("precision_at_1", "map_at_r", "precision_at_1_macro")
COLOURS = {"baseline": "#0f172a", "better": "#16a34a", "worse": "#dc2626"}
OTHER = "#64748b"
CHART = "Black: the baseline; green and red: the verdicts better and worse.\n\n![chart](study.png)"
READ = (
    "Ranked by the test photos themselves: choosing a cell by them is optimistic. Confirm the "
    "choice on another split or later photos. Settings that a cell doesn't change may have been "
    "tuned for the baseline, which favours it."
)
IN_A_LINE = (
    "Spread: standard deviation over seeds. p: how easily other queries and other seeds would "
    "reverse the difference's sign. A verdict needs p below 0.05 after Holm's correction for the "
    "number of cells, and two seeds."
)
METHOD = (
    "Spread: standard deviation over seeds, - for one seed. Difference: each query's mean over "
    "seeds minus the baseline's, with a 95 % interval and p-value: queries are resampled (paired "
    "bootstrap), and the standard error over seeds is added with Student's t. So n seeds count as "
    "n, however many queries there are: two show only large differences, and three are still few. "
    "One seed says nothing about others: interval and p cover only the queries, and there is no "
    "verdict. An interval that includes 0 shows no difference."
)
COST = {
    "trained_parameters": ("trained parameters", ",.0f"),
    "best_epoch": ("best epoch, from 0", ".1f"),
    "epoch_s": ("s per epoch", ".1f"),
    "embed_photos_per_s": ("photos embedded/s", ",.0f"),
    "bytes_per_vector": ("bytes per vector", ",.0f"),
}


def study_files(result: dict[str, Any]) -> dict[str, bytes]:
    """Return study.md, study.json and study.png for a result of `ranking.rank`, by name."""
    files = {
        "study.md": markdown(result).encode(),
        "study.json": json.dumps(result, indent=2).encode(),
    }
    rows = []
    for cell in result["cells"]:
        if cell["estimate"]:
            colour = COLOURS.get(verdict(result, cell), OTHER)
            rows.append(Interval(cell["cell"], **cell["estimate"], colour=colour))
    if rows:
        scope = f"95 % intervals over {result['queries']:,} queries and the seeds"
        files["study.png"] = png(chart(f"{metric_name(result['rank_by'])}, {scope}", rows))
    return files


def markdown(result: dict[str, Any]) -> str:
    """Return the study as Markdown."""
    cells = result["cells"]
    compared = sum(cell["difference"] is not None for cell in cells)
    lines = [
        f"# Study: {result['name']}",
        f"```text\n{result['question'] or '-'}\n```",
        _scope(result),
        READ,
    ]
    for title, table in tables(result).items():
        lines += [f"## {title}", table.markdown()]
    lines.append(
        f"{METHOD} p (Holm) is corrected for the number of compared cells ({compared}), the "
        "intervals are not."
    )
    if any(cell["estimate"] for cell in cells):
        lines.append(CHART)
    return "\n\n".join([*lines, ""])


def tables(result: dict[str, Any]) -> dict[str, Table]:
    """Return the tables by title; cells are in the order of `result`."""
    tested = [f"difference from {result['baseline']}", "p", "p (Holm)", "verdict"]
    ranking = ["rank", "cell", "seeds", f"{metric_name(result['rank_by'])} ± spread", *tested]
    metrics = ["cell"]
    for metric in SHOWN:
        metrics += [f"{metric_name(metric)} ± spread", "untrained"]
    cost = ["cell", "started from", *(title for title, _ in COST.values())]

    cells = result["cells"]
    ranked = [_ranked(result, cell, place) for place, cell in enumerate(cells, start=1)]
    return {
        "Ranking": Table(ranking, ranked),
        "Metrics": Table(metrics, [_metrics(cell) for cell in cells]),
        "Cost": Table(cost, [_cost(cell) for cell in cells]),
    }


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the tables and how to read them."""
    console = console or Console(markup=False)
    console.print(f"{_scope(result)}\n{READ}\n{IN_A_LINE}")
    for title, table in tables(result).items():
        table.show(title, console)


def verdict(result: dict[str, Any], cell: dict[str, Any]) -> str:
    """Say how a cell compares with the baseline: better or worse only if other seeds agree."""
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
    return word if found["seeds"] > 1 else f"{word} with this seed only"


def _scope(result: dict[str, Any]) -> str:
    seeds = ", ".join(map(str, result["seeds"]))
    best = result["monitor"] or "its own callbacks, maybe with another metric"
    text = (
        f"{result['queries']:,} queries, the same for every cell; seeds {seeds}. Best epoch of "
        f"each cell: by {best}."
    )
    if result["synthetic"]:
        text += " The photos are SYNTHETIC, drawn by vsearch."
    if result["queries"] < FEW:
        text += " So few queries make the intervals too narrow."
    if result["single_query_labels"]:
        text += (
            f" {result['single_query_labels']} of {result['labels']} labels have a single query, "
            "which adds nothing to a macro interval."
        )
    return text


def _ranked(result: dict[str, Any], cell: dict[str, Any], place: int) -> list[str]:
    seeds = f"{len(cell['seeds'])} of {len(result['seeds'])}"
    if cell["failed"]:
        seeds += f", failed: {', '.join(map(str, cell['failed']))}"
    mean = _spread(_of(cell, *which_mean(result["rank_by"])))
    found = cell["difference"]
    compared = ["-", "-", "-"]
    if found is not None:
        change = Difference(found["value"], found["low"], found["high"], found["p_value"])
        p_values = [f"{change.p_value:.4f}", f"{found['holm_p_value']:.4f}"]
        compared = [interval(change, "+.3f"), *p_values]
    rank = str(place) if cell["estimate"] else "-"
    return [rank, cell["cell"], seeds, mean, *compared, verdict(result, cell)]


def _metrics(cell: dict[str, Any]) -> list[str]:
    texts = [cell["cell"]]
    for metric in SHOWN:
        values = _of(cell, *which_mean(metric))
        texts += [_spread(values), _number(values.get("untrained"))]
    return texts


def _of(cell: dict[str, Any], metric: str, kind: str) -> dict[str, Any]:
    return cell["metrics"].get(metric, {}).get(kind, {})


def _spread(values: dict[str, Any]) -> str:
    return f"{values['mean']:.3f} ± {_number(values['sd'])}" if values else "-"


def _cost(cell: dict[str, Any]) -> list[str]:
    costs = [_number(cell["cost"].get(name), form) for name, (_, form) in COST.items()]
    return [cell["cell"], ", ".join(cell["origins"]) or "-", *costs]


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)
