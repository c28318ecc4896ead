from vsearch.evaluation.run_report import TrainingReport
from vsearch.reports.html.charts import MUTED, figure, line, upright
from vsearch.reports.html.findings import Figure, Findings, LeftOutError, Section
from vsearch.reports.html.photos import Photos

RETRIEVAL = ("val/precision_at_1", "val/map_at_r", "val/cmc_at_10")
CHARTS = {  # by place in the template: the axis's title, its metrics
    "losses": ("loss", ("train/loss", "val/loss")),
    "retrieval": ("mean over val photos", RETRIEVAL),
    "geometry": ("share of triplets", ("train/active_triplets",)),
}


def section(findings: Findings, photos: Photos) -> Section:
    """Return curves of each epoch's training and validation metrics."""
    training = findings.report.training
    if training is None or not training.epochs:
        raise LeftOutError("This bundle has no metrics of its epochs.")
    figures = {}
    for place, (axis, metrics) in CHARTS.items():
        there = [name for name in metrics if _measured(training, name)]
        if there:
            figures[place] = _curves(training, axis, there)

    names: dict[str, None] = {}
    for row in training.epochs:
        names |= dict.fromkeys(row)
    del names["epoch"]
    table = [[row["epoch"], *(row.get(name) for name in names)] for row in training.epochs]
    return Section({"names": [*names], "table": table, "chosen": training.chosen}, figures)


def _measured(training: TrainingReport, metric: str) -> bool:
    return any(row.get(metric) is not None for row in training.epochs)


def _curves(training: TrainingReport, axis: str, metrics: list[str]) -> Figure:
    x = [row["epoch"] for row in training.epochs]
    lines = [
        line(x, [row.get(name) for row in training.epochs], name, number)
        for number, name in enumerate(metrics)
    ]
    kept = [] if training.chosen is None else [upright(training.chosen, "kept", MUTED, "dot")]
    steps = {"tickvals": x[:: 1 + len(x) // 12], "range": [x[0] - 0.3, x[-1] + 0.3]}
    return figure(lines, "epoch", axis, 300, shapes=kept, xaxis=steps, showlegend=True)
