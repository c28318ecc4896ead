from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from vsearch.data.io.json_dataclasses import from_json, to_json
from vsearch.evaluation import calibration
from vsearch.evaluation.comparing.runs import CONFIG, QUERIES, query_table
from vsearch.evaluation.run_report import (
    CalibrationReport,
    Cost,
    IndexReport,
    Model,
    RunReport,
    TrainingReport,
)
from vsearch.reports.files import report_files
from vsearch.reports.html.findings import Findings, read_config
from vsearch.reports.html.report import report_file
from vsearch.reports.summary import (
    SplitData,
    axes,
    data_facts,
    graded,
    label_quality,
    library_versions,
    metrics,
    per_class,
    protocol,
)
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
    labels_before = None if evaluation.untrained is None else evaluation.untrained.labels
    axes_before = None if evaluation.untrained is None else evaluation.untrained.axes
    quality = label_quality(trained.labels, evaluation.exact)
    split = SplitData(
        catalog=data.catalog,
        split=data.split,
        items=data.items,
        content_hashes=data.content_hashes,
        skipped=data.skipped,
        measured_on=str(data.part("test")["split"].iloc[0]),
        gallery=len(data.gallery("test")),
        batch_seed=data.seed,
    )
    return RunReport(
        protocol=protocol(split, trained.labels),
        model=_model(module, history.chosen),
        index=from_json(IndexReport, {**evaluation.index, "labels": to_json(quality)}),
        cost=_cost(evaluation, history, module),
        metrics=metrics(trained.labels, labels_before),
        per_class=per_class(trained.labels, data.label_names),
        axes=axes(trained.axes, axes_before),
        graded=graded(trained.axes, axes_before),
        calibration=_calibration(evaluation),
        leakage=evaluation.naive_split,
        training=TrainingReport(epochs=history.epochs, chosen=history.chosen),
        data=data_facts(split),
    )


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


def _model(module: MetricLearner, epoch: int) -> Model:
    backbone = module.backbone
    return Model(
        class_path=backbone.spec()["class_path"],
        dim=module.embedder.dim,
        origin=backbone.origin,
        wanted=backbone.wanted,
        epoch=epoch,
        libraries=library_versions(),
    )


def _cost(evaluation: FinalEvaluation, history: TrainingHistory, module: MetricLearner) -> Cost:
    weights = list(module.parameters())
    index = evaluation.index
    return Cost(
        trained_parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
        parameters=sum(weight.numel() for weight in weights),
        epoch_s=history.epoch_s,
        embed_photos_per_s=evaluation.photos_per_s,
        bytes_per_vector=index["bytes"] / index["vectors"],
    )


def _calibration(evaluation: FinalEvaluation) -> CalibrationReport:
    found = evaluation.calibration
    content = {**found.calibration.describe(), "measured": found.quality}
    report: CalibrationReport = from_json(CalibrationReport, content)
    return report
