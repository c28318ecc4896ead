from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from vsearch.evaluation import calibration
from vsearch.evaluation.comparing.runs import CONFIG, QUERIES, query_table
from vsearch.evaluation.run_report import RunReport
from vsearch.reports.files import report_files
from vsearch.reports.html.findings import Findings, read_config
from vsearch.reports.html.report import report_file
from vsearch.reports.index_tables import label_quality
from vsearch.reports.summary import axes_summary, data_facts, library_versions, protocol, summary
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.final_evaluation import FinalEvaluation
from vsearch.training.module import MetricLearner

IN_MANIFEST = ("protocol", "model", "index", "cost", "metrics")


@dataclass(frozen=True)
class TrainingHistory:
    """How the fit went.

    Attributes:
        epochs: what each epoch logged, see `callbacks.epochs.EpochMetrics.rows`.
        chosen: the epoch whose weights are kept.
        epoch_s: median seconds of an epoch; None if no epoch was whole.
    """

    epochs: list[dict[str, Any]]
    chosen: int
    epoch_s: float | None


def fit_report(
    evaluation: FinalEvaluation,
    history: TrainingHistory,
    module: MetricLearner,
    data: CatalogDataModule,
) -> RunReport:
    """Return what report.json holds."""
    trained = evaluation.trained
    untrained = evaluation.untrained
    measured = evaluation.calibration
    content = {
        "protocol": protocol(data, trained.labels),
        "model": _model(module, history.chosen),
        "index": {**evaluation.index, "labels": label_quality(trained.labels, evaluation.exact)},
        "cost": _cost(evaluation, history, module),
        **summary(
            trained.labels, None if untrained is None else untrained.labels, data.label_names
        ),
        **axes_summary(trained.axes, None if untrained is None else untrained.axes),
        "calibration": {**measured.calibration.describe(), "measured": measured.quality},
        "leakage": asdict(evaluation.naive_split) if evaluation.naive_split else {},
        "training": {"epochs": history.epochs, "chosen": history.chosen},
        "data": data_facts(data),
    }
    return RunReport.from_json(content)


def fit_files(
    report: RunReport,
    evaluation: FinalEvaluation,
    data: CatalogDataModule,
    picture: Image.Image,
    run_folder: Path,
) -> dict[str, bytes]:
    """Return the files that a bundle keeps beside network, index and items, by their names.

    Args:
        report: the `fit_report`.
        evaluation: what it was made of.
        data: the catalog that was evaluated.
        picture: some searches and what they found.
        run_folder: where config.yaml may lie.
    """
    hits = evaluation.hits
    queries = query_table(
        data.queries("test"), evaluation.trained.labels, hits.scores, hits.positions
    )
    findings = Findings(
        report,
        queries=pd.read_parquet(BytesIO(queries)),
        items=data.gallery("test").drop(columns="label_code"),
        vectors=evaluation.gallery,
        calibration=evaluation.calibration.calibration,
        config=read_config(run_folder / CONFIG),
        fingerprint=evaluation.fingerprint,
    )
    return {
        **report_files(report, picture),
        **report_file(findings),
        QUERIES: queries,
        calibration.FILE: calibration.file_bytes(evaluation.calibration.calibration),
    }


def _model(module: MetricLearner, epoch: int) -> dict[str, Any]:
    backbone = module.backbone
    return {
        "class_path": backbone.spec()["class_path"],
        "dim": module.embedder.dim,
        "origin": backbone.origin,
        "wanted": backbone.wanted,
        "epoch": epoch,
        "libraries": library_versions(),
    }


def _cost(
    evaluation: FinalEvaluation, history: TrainingHistory, module: MetricLearner
) -> dict[str, float | None]:
    """Return what `compare` shows beside the metrics; a loss's own weights count too."""
    weights = list(module.parameters())
    index = evaluation.index
    return {
        "trained_parameters": sum(weight.numel() for weight in weights if weight.requires_grad),
        "parameters": sum(weight.numel() for weight in weights),
        "epoch_s": history.epoch_s,
        "embed_photos_per_s": evaluation.photos_per_s,
        "bytes_per_vector": index["bytes"] / index["vectors"],
    }
