from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vsearch.data.io.json_dataclasses import from_json, to_json
from vsearch.data.items import table_bytes
from vsearch.evaluation import calibration
from vsearch.evaluation.comparing.runs import CONFIG, QUERIES, query_table
from vsearch.evaluation.final_evaluation import FinalEvaluation, Network
from vsearch.evaluation.run_report import (
    CalibrationReport,
    Cost,
    IndexReport,
    Model,
    RunReport,
    TrainingReport,
)
from vsearch.reports import summary
from vsearch.reports.alone import fails_alone
from vsearch.reports.files import report_files
from vsearch.reports.html.findings import Findings, read_config
from vsearch.reports.html.report import report_file

IN_MANIFEST = ("protocol", "model", "index", "cost", "metrics")


@dataclass(frozen=True)
class TrainingHistory:
    """How the fit went.

    Attributes:
        epochs: each epoch's logged metrics, see `callbacks.epochs.EpochMetrics.rows`.
        chosen: the epoch whose weights are kept.
        epoch_s: median seconds per epoch; None if no epoch finished.
    """

    epochs: list[dict[str, Any]]
    chosen: int
    epoch_s: float | None


def fit_report(
    evaluation: FinalEvaluation, history: TrainingHistory, network: Network
) -> RunReport:
    """Return the content of report.json."""
    data = evaluation.data
    trained = evaluation.trained
    labels_before = None if evaluation.untrained is None else evaluation.untrained.labels
    axes_before = None if evaluation.untrained is None else evaluation.untrained.axes
    products_before = None if evaluation.untrained is None else evaluation.untrained.products
    words_before = None if evaluation.untrained is None else evaluation.untrained.words
    quality = summary.label_quality(trained.labels, evaluation.exact)
    calibrated = evaluation.calibration
    scores = {**calibrated.calibration.describe(), "measured": calibrated.quality}
    return RunReport(
        protocol=summary.protocol(data, trained.labels),
        model=Model(
            class_path=network.class_path,
            dim=network.dim,
            origin=network.origin,
            wanted=network.wanted,
            epoch=history.chosen,
            libraries=summary.library_versions(),
        ),
        index=from_json(IndexReport, {**evaluation.index, "labels": to_json(quality)}),
        cost=Cost(
            trained_parameters=network.trained_parameters,
            parameters=network.parameters,
            epoch_s=history.epoch_s,
            embed_photos_per_s=evaluation.photos_per_s,
            bytes_per_vector=evaluation.index["bytes"] / evaluation.index["vectors"],
        ),
        views=summary.views(evaluation.views),
        regions=summary.regions(evaluation.regions),
        expansion=summary.expansion(evaluation.expansion),
        words=summary.words(trained.words, words_before),
        metrics=summary.metrics(trained.labels, labels_before),
        per_class=summary.per_class(trained.labels, data.label_names),
        axes=summary.axes(trained.axes, axes_before),
        graded=summary.graded(trained.axes, axes_before),
        products=summary.products(data, trained.products, products_before),
        calibration=from_json(CalibrationReport, scores),
        leakage=evaluation.naive_split,
        training=TrainingReport(epochs=history.epochs, chosen=history.chosen),
        data=summary.data_facts(data),
    )


def fit_files(
    report: RunReport,
    evaluation: FinalEvaluation,
    picture: Image.Image | None,
    run_folder: Path,
    photos_root: str,
) -> dict[str, bytes]:
    """Return the files that a bundle keeps beside network, index and items, by name.

    Args:
        report: the `fit_report`.
        evaluation: the evaluation that it describes.
        picture: some searches and their hits, if it could be drawn.
        run_folder: the folder of config.yaml, if there is one.
        photos_root: the folder that paths start from.
    """
    hits = evaluation.hits
    data = evaluation.data
    labels = evaluation.trained.labels
    queries = query_table(data.queries, labels, hits.scores, hits.positions)
    files = {
        **report_files(report, picture),
        QUERIES: table_bytes(queries, photos_root),
        calibration.FILE: calibration.file_bytes(evaluation.calibration.calibration),
    }
    with fails_alone("report.html"):
        findings = Findings(
            report,
            queries=queries,
            items=data.gallery.drop(columns="label_code"),
            vectors=evaluation.gallery,
            calibration=evaluation.calibration.calibration,
            config=read_config(run_folder / CONFIG),
            fingerprint=evaluation.fingerprint,
        )
        files |= report_file(findings)
    return files
